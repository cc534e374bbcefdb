"""Which tweets to read: one value, parsed in one place for all callers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from twitter_pipeline.serving import parsing


class Unselectable(ValueError):
    """A text that cannot be used in a selection; `field` names its field, and the message begins with that name."""

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
"""How the text of each field is parsed."""


@dataclass(frozen=True)
class Selection:
    """Tweets found by a rule, written by an account, with a hashtag, with all the words, within a time window.

    None (or no words) means no condition. Names are in normalised form; `since` is inclusive, `until` exclusive;
    `below` is the id below which a list continues.
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
        """The selection that these texts describe; empty ones are ignored. Raises Unselectable, naming the invalid one."""
        values: dict[str, Any] = {}
        for field, text in texts.items():
            try:
                if text:
                    values[field] = PARSERS[field](text)
            except ValueError as wrong:
                raise Unselectable(field, str(wrong)) from None
        return cls(**values)

    def stated(self, always: Iterable[str]) -> dict[str, Any]:
        """The conditions by field: those in `always`, and all others that are set."""
        shown = dict.fromkeys(always)
        for name in self.__dataclass_fields__:
            if name in shown or getattr(self, name) not in (None, ()):
                shown[name] = getattr(self, name)
        return shown
