"""The shapes of answers, for the OpenAPI document and clients generated from it.

The models are only descriptions: bodies are bytes made by PostgreSQL, and a test checks real ones against these shapes.
Tweets and users are derived from serving/columns.py.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from twitter_pipeline.serving.columns import TWEET, USER, Column, Kind


class Reference(BaseModel):
    """A reference to another tweet, which may not have been collected."""

    type: str = Field(description="replied_to, quoted or retweeted")
    id: str


_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str | None,
    Kind.ID: str | None,
    Kind.COUNT: int | None,
    Kind.FLAG: bool | None,
    Kind.MILLISECONDS: datetime | None,
    Kind.MICROSECONDS: datetime | None,
    Kind.TEXTS: list[str],
    Kind.IDS: list[str],
    Kind.INTEGERS: list[int] | None,
    Kind.REFERENCES: list[Reference],
}
_ALWAYS_KNOWN: dict[Kind, Any] = {Kind.ID: str, Kind.COUNT: int}


def model_of(name: str, meaning: str, columns: Iterable[Column]) -> type[BaseModel]:
    """The model of an object with these columns, each at its place; null if X did not say."""
    members: dict[str, Any] = {}
    inner: dict[str, list[tuple[str, Any]]] = {}
    for column in columns:
        types = _ALWAYS_KNOWN if column.is_always_known else _TYPES
        member = (types[column.kind], Field(description=column.meaning))
        first, *rest = column.place
        if not rest:
            members[first] = member
        else:
            members.setdefault(first, None)
            inner.setdefault(first, []).append((rest[0], member))
    for first, group in inner.items():
        made: Any = create_model(f"{name}{first.capitalize()}", **dict(group))
        members[first] = (made, ...)
    model: type[BaseModel] = create_model(name, __doc__=meaning, **members)
    return model


Tweet: Any = model_of("Tweet", "A collected tweet.", TWEET)
User: Any = model_of("User", "An account seen in collected data.", USER)


class PageMeta(BaseModel):
    """Size of this page, and where the list continues."""

    count: int = Field(description="How many objects this page has.")
    next_cursor: str | None = Field(description="`cursor` for the next page; null on the last page.")


class TweetPage(BaseModel):
    """Tweets, newest first."""

    data: list[Tweet]
    meta: PageMeta


class UserPage(BaseModel):
    """Accounts, newest id first."""

    data: list[User]
    meta: PageMeta


class Hashtag(BaseModel):
    """How often a hashtag was used."""

    tag: str = Field(description="The normalised form, in which hashtags are compared.")
    display_tag: str = Field(description="One of the spellings used.")
    tweet_count: int
    author_count: int


class Window(BaseModel):
    """The time window of the answer; `until` is exclusive."""

    since: datetime
    until: datetime


class Hashtags(BaseModel):
    """The most used hashtags in a window, most used first."""

    data: list[Hashtag]
    meta: Window


class Span(BaseModel):
    """The number of tweets in one hour or day."""

    start: datetime
    tweet_count: int


class CountedWindow(Window):
    """The time window of the answer, and the number of all tweets in it."""

    total: int


class Counts(BaseModel):
    """Tweets per hour or day, including hours or days without any."""

    data: list[Span]
    meta: CountedWindow


class Stage(BaseModel):
    """One stage of the pipeline; null means unknown."""

    stage: str
    count: int | None = Field(description="Records processed.")
    lag: int | None = Field(description="Records waiting.")
    newest: datetime | None
    last_error: str | None
    answers: bool = Field(description="Whether the stage's store answered.")
    age_seconds: float | None = Field(description="Seconds since the newest record.")


class DeadLetters(BaseModel):
    """Records that were set aside, by stage."""

    land: int | None
    transform: int | None


class Spend(BaseModel):
    """Amounts in US dollars, as decimal numbers in strings."""

    month_usd: str | None
    budget_usd: str | None


class Contract(BaseModel):
    """The result of a contract's latest run."""

    contract: str
    failed: int
    checked_at: datetime


class Account(BaseModel):
    """An account in a rule that needs attention, since it cannot be read as it should be."""

    username: str
    user_id: str | None
    state: str | None
    since: datetime | None
    reason: str | None
    rules: list[str]


class Pipeline(BaseModel):
    """The state of the pipeline."""

    stages: list[Stage]
    dead_letters: DeadLetters
    gaps: int | None
    lost_pages: int | None
    spend: Spend
    contracts: list[Contract]
    accounts: list[Account]
    x_api_url: str | None
    broker: str | None
    looked_at: datetime
    age_seconds: float = Field(description="Age of this answer: seconds since the stores were checked.")


class ParameterError(BaseModel):
    """One parameter that cannot be used."""

    parameter: str
    detail: str


class ProblemDetails(BaseModel):
    """An error as defined in RFC 9457."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    errors: list[ParameterError] = Field(default=[], description="With status 422: each unusable parameter.")
