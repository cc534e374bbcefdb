"""What a request may ask: declared once, checked before anything is asked of PostgreSQL."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tweet_envelope.ids import LARGEST_ID
from twitter_pipeline.api.problems import Problem
from twitter_pipeline.collection.rules import NAME
from twitter_pipeline.text import normal_tag, normal_username, searchable

LONGEST_WINDOW = timedelta(days=92)
MOST_WORDS = 10
FIRST_INSTANT = datetime(2006, 1, 1, tzinfo=UTC)  # X began in March 2006
FURTHEST_AHEAD = timedelta(days=1)
_ID = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_CURSOR = re.compile(r"(0|[1-9][0-9]{0,18})\.([0-9a-f]{8})", re.ASCII)


def _instant(value: object) -> datetime:
    text = str(value)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None and len(text) == len("2026-01-31"):
            instant = instant.replace(tzinfo=UTC)
        if instant.tzinfo is None:
            raise ValueError
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("give a time with its zone, such as 2026-01-31T12:00:00Z, or a date") from None
    if not FIRST_INSTANT <= instant <= datetime.now(UTC) + FURTHEST_AHEAD:
        raise ValueError(f"give a time from {FIRST_INSTANT:%Y-%m-%d} to a day ahead of now")
    return instant


def _id(value: object) -> int:
    text = str(value)
    if not _ID.fullmatch(text) or int(text) > LARGEST_ID:
        raise ValueError("give an id: digits only, 0 to 2^63-1")
    return int(text)


def _whole(value: object) -> object:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("give a whole number")
    return value


def _text(value: str) -> str:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds a character that no text has (NUL or half of a pair)")
    return value


def _rule(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("give the name of a rule: a-z 0-9 _ -")
    return value


def _hashtag(value: str) -> str:
    tag = normal_tag(_text(value))
    if not tag:
        raise ValueError("give a hashtag")
    return tag


def _words(value: str) -> str:
    if not 1 <= len(searchable(_text(value)).split()) <= MOST_WORDS:
        raise ValueError(f"give 1 to {MOST_WORDS} words")
    return value


Instant = Annotated[datetime, BeforeValidator(_instant)]
Id = Annotated[int, BeforeValidator(_id)]
Limit = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1000)]
Username = Annotated[str, Field(max_length=100), AfterValidator(normal_username)]
RuleName = Annotated[str, Field(max_length=100), AfterValidator(_rule)]
Hashtag = Annotated[str, Field(max_length=300), AfterValidator(_hashtag)]
Words = Annotated[str, Field(max_length=500), AfterValidator(_words)]
Cursor = Annotated[str, Field(max_length=100)]


class Nothing(BaseModel):
    """A request without parameters."""

    model_config = ConfigDict(extra="forbid")


class _Window(Nothing):
    since: Instant | None = Field(None, description="Created at this time or later.", examples=["2026-01-31"])
    until: Instant | None = Field(
        None, description="Created before this time.", examples=["2026-02-01T12:00:00Z"]
    )

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class _Selected(_Window):
    author: Username | None = Field(None, description="By this account.", examples=["mada"])
    hashtag: Hashtag | None = Field(None, description="With this hashtag, in any case.", examples=["python"])
    rule: RuleName | None = Field(None, description="Brought by this rule.", examples=["coffee"])


class TweetFilters(_Selected):
    """Which tweets, how many, from where on."""

    words: Words | None = Field(
        None, description="With all of these words in the text, in any case.", examples=["espresso crema"]
    )
    limit: Limit = 50
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before, same filters.")


class UserFilters(Nothing):
    """Which users, how many, from where on."""

    username: Username | None = Field(None, description="Of this name.", examples=["mada"])
    limit: Limit = 50
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before, same filters.")


class _BoundedWindow(_Window):
    """A window of the last day when nothing is said, and never longer than LONGEST_WINDOW."""

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Both ends. Raises Problem when they are too far apart."""
        until = self.until or (now if self.since is None else max(now, self.since))
        since = self.since or until - timedelta(days=1)
        if until - since > LONGEST_WINDOW:
            raise Problem(422, f"since, until: at most {LONGEST_WINDOW.days} days apart")
        return since, until


class HashtagFilters(_BoundedWindow):
    """Which window, and how many of its hashtags."""

    limit: Limit = 20


class CountFilters(_Selected, _BoundedWindow):
    """Which tweets are counted, by which span."""

    granularity: Literal["hour", "day"] = "hour"


def cursor_of(last_id: int, filters: BaseModel) -> str:
    """Where the next page of these filters begins: below `last_id`."""
    return f"{last_id}.{_digest(filters)}"


def below(cursor: str | None, filters: BaseModel) -> int | None:
    """The id that a cursor stands for. Raises Problem for one that is garbage or belongs to other filters."""
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[1]) > LARGEST_ID:
        raise Problem(400, "cursor: this is none that an answer gave")
    if match[2] != _digest(filters):
        raise Problem(400, "cursor: it belongs to other filters; begin without a cursor")
    return int(match[1])


def _digest(filters: BaseModel) -> str:
    asked = filters.model_dump_json(exclude={"cursor", "limit"})
    return hashlib.blake2s(asked.encode(), digest_size=4).hexdigest()


def twice(names: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """The parameters that were given more than once, with what is wrong about it."""
    given = [name for name, _ in names]
    return [(name[:100], "given more than once") for name in dict.fromkeys(given) if given.count(name) > 1]
