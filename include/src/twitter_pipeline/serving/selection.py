"""Which tweets somebody wants to read: one value, parsed once, whoever asks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from twitter_pipeline.serving import parsing


class Unselectable(ValueError):
    """A text that selects nothing; `field` names it, and the message begins with that name."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


def _words(text: str) -> tuple[str, ...]:
    return parsing.words(text.split())


PARSERS: Mapping[str, Callable[[str], Any]] = {
    "rule": parsing.rule_name,
    "author": parsing.username,
    "hashtag": parsing.hashtag,
    "words": _words,
    "since": parsing.instant,
    "until": parsing.instant,
}
"""How the text of each field becomes its value."""


@dataclass(frozen=True)
class Selection:
    """Tweets that a rule brought, an account wrote, that have a hashtag and all the words, of a window of time.

    None (no words) asks for nothing. Names are in the form in which they are compared; `since` is included, `until` is
    not; `below` is the id that a list goes on from.
    """

    rule: str | None = None
    author: str | None = None
    hashtag: str | None = None
    words: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None

    def __post_init__(self) -> None:
        if not parsing.is_forward(self.since, self.until):
            raise Unselectable("since", "must be before until")

    @classmethod
    def of(cls, **texts: str | None) -> Self:
        """The selection that texts ask for, empty ones left out. Raises Unselectable naming the one that is wrong."""
        values: dict[str, Any] = {}
        for field, text in texts.items():
            try:
                if text:
                    values[field] = PARSERS[field](text)
            except ValueError as wrong:
                raise Unselectable(field, str(wrong)) from None
        return cls(**values)

    def stated(self, always: Iterable[str]) -> dict[str, Any]:
        """What is asked for, by field: those of `always`, and every other that asks for something."""
        shown = dict.fromkeys(always)
        for name in self.__dataclass_fields__:
            if name in shown or getattr(self, name) not in (None, ()):
                shown[name] = getattr(self, name)
        return shown
