"""The parameters of each request, declared once and checked before PostgreSQL is queried."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from twitter_pipeline.api.problems import Problem
from twitter_pipeline.serving import parsing
from twitter_pipeline.serving.selection import Selection

LONGEST_WINDOW = timedelta(days=92)


def _limit(value: object) -> object:
    return parsing.limit(value) if isinstance(value, str) else value


def _words(text: str) -> str:
    parsing.words(text.split())
    return text


Instant = Annotated[datetime, BeforeValidator(parsing.instant)]
Id = Annotated[
    int,
    BeforeValidator(parsing.object_id),
    WithJsonSchema({"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$"}),
]
Limit = Annotated[int, BeforeValidator(_limit), Field(ge=1, le=parsing.MOST_LISTED)]
Username = Annotated[str, Field(max_length=100), AfterValidator(parsing.username)]
RuleName = Annotated[str, Field(max_length=100), AfterValidator(parsing.rule_name)]
Hashtag = Annotated[str, Field(max_length=300), AfterValidator(parsing.hashtag)]
Words = Annotated[str, Field(max_length=500), AfterValidator(_words)]
Cursor = Annotated[str, Field(max_length=100)]


class NoParameters(BaseModel):
    """A request without parameters."""

    model_config = ConfigDict(extra="forbid")


class _Window(NoParameters):
    since: Instant | None = Field(None, description="Created at this time or later.", examples=["2026-01-31"])
    until: Instant | None = Field(
        None, description="Created before this time.", examples=["2026-02-01T12:00:00Z"]
    )

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if not parsing.is_forward(self.since, self.until):
            raise ValueError("since must be before until")
        return self


class _Selected(_Window):
    author: Username | None = Field(None, description="By this account.", examples=["mada"])
    hashtag: Hashtag | None = Field(None, description="With this hashtag, in any case.", examples=["python"])
    rule: RuleName | None = Field(None, description="Found by this rule.", examples=["coffee"])


class TweetFilters(_Selected):
    """Which tweets, how many, and where to continue."""

    words: Words | None = Field(
        None, description="With all these words in the text, in any case.", examples=["espresso crema"]
    )
    limit: Limit = 50
    cursor: Cursor | None = Field(
        None, description="`next_cursor` of the previous page, with the same filters."
    )

    def selection(self, below: int | None) -> Selection:
        """The requested tweets, for a page that begins below an id."""
        words = () if self.words is None else tuple(self.words.split())
        return Selection(self.rule, self.author, self.hashtag, words, self.since, self.until, below)


class UserFilters(NoParameters):
    """Which users, how many, and where to continue."""

    username: Username | None = Field(None, description="With this username.", examples=["mada"])
    limit: Limit = 50
    cursor: Cursor | None = Field(
        None, description="`next_cursor` of the previous page, with the same filters."
    )


class _BoundedWindow(_Window):
    """A window that defaults to the last day and is never longer than LONGEST_WINDOW."""

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Start and end. Raises Problem 422 if they are too far apart."""
        until = self.until or (now if self.since is None else max(now, self.since))
        since = self.since or until - timedelta(days=1)
        if until - since > LONGEST_WINDOW:
            raise Problem(422, f"since, until: at most {LONGEST_WINDOW.days} days apart")
        return since, until


class HashtagFilters(_BoundedWindow):
    """Which window, and how many hashtags."""

    limit: Limit = 20


class CountFilters(_Selected, _BoundedWindow):
    """Which tweets to count, and by which span."""

    granularity: Literal["hour", "day"] = "hour"

    def selection(self, since: datetime, until: datetime) -> Selection:
        """The tweets to count, in a window with both a start and an end."""
        return Selection(self.rule, self.author, self.hashtag, (), since, until)


def repeated(names: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """The parameters that were given more than once, each with an explanation."""
    given = [name for name, _ in names]
    return [(name[:100], "given more than once") for name in dict.fromkeys(given) if given.count(name) > 1]
