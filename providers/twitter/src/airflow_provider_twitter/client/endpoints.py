"""The X API endpoints that this client supports, in one table with one row each.

Requests, prices, pages, proofs, reach and sources are read from the row, so a new endpoint is a new row. Ledgers and
envelopes name an endpoint as X's documentation and rate limits do: by its path, with the id in it as `:id`. An endpoint
that is not in the table is never called, since its cost would be unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from airflow_provider_twitter.client.price_list import COUNTS_REQUEST, FREE, POST_READ, USER_READ, Price

Method = Literal["GET", "POST", "PUT", "DELETE"]
Answer = Literal["tweets", "users", "counts", "usage"]
Credentials = Literal["app", "oauth2_user", "oauth1_user"]
"""An app's bearer token; a user's OAuth 2.0 token; a user's OAuth 1.0a token."""

WINDOW = ("since_id", "until_id", "start_time", "end_time")
FIELDS_OF_TWEETS = (
    "tweet.fields",
    "user.fields",
    "media.fields",
    "place.fields",
    "poll.fields",
    "expansions",
)
FIELDS_OF_USERS = ("tweet.fields", "user.fields", "expansions")
ANY: frozenset[Credentials] = frozenset({"app", "oauth2_user", "oauth1_user"})
MOST_LISTED = 100
"""How many ids or names X accepts in one lookup."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """`max_results` of an endpoint: the least that X accepts, and X's default; 100 at most."""

    least: int
    default: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row of the table.

    `name`: our word for it. `answer`: what it returns, which decides what proves an answer. `auth`: the credentials that
    X accepts here. `fields`: the parameters that select fields; "tweet.fields" also stands for "post.fields". `window`:
    the bounds on ids and times that it accepts. `page_token`: the parameter for the token of the next page.
    `page_size`: for an endpoint that answers in pages. `lists`: the parameter for the comma-separated ids or names to
    look up. `others`: all other parameters. `names`: what the id in the path identifies. `reach`: how far back X returns
    tweets, by its own clock; None if time is no limit. `source`: how an envelope says that a tweet was found here; None
    if the answer holds no tweets.
    """

    name: str
    path: str
    answer: Answer
    price: Price
    auth: frozenset[Credentials]
    method: Method = "GET"
    fields: tuple[str, ...] = ()
    window: tuple[str, ...] = ()
    page_token: str | None = None
    page_size: PageSize | None = None
    lists: str | None = None
    others: tuple[str, ...] = ()
    names: Literal["user", "tweet", "list"] | None = None
    reach: timedelta | None = None
    source: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def smallest_page(self) -> int:
        """The fewest objects that may be requested."""
        return 1 if self.page_size is None else self.page_size.least

    @property
    def tweet_source(self) -> str:
        """`source`, of an endpoint that gives tweets. Raises ValueError for another."""
        if self.source is None:
            raise ValueError(f"{self} does not return tweets")
        return self.source

    @property
    def path_params(self) -> tuple[str, ...]:
        """The parameters in the path."""
        return tuple(part[1:] for part in self.path.split("/") if part.startswith(":"))

    @property
    def query_params(self) -> frozenset[str]:
        """The parameters of the query, without those that select fields."""
        single = {"max_results" if self.page_size else None, self.page_token, self.lists}
        return frozenset({*self.window, *self.others, *(name for name in single if name)})


SEARCH_RECENT = Endpoint(
    name="search_recent",
    path="/2/tweets/search/recent",
    answer="tweets",
    price=POST_READ,
    auth=ANY,
    fields=FIELDS_OF_TWEETS,
    window=WINDOW,
    page_token="next_token",  # noqa: S106
    page_size=PageSize(10),
    others=("query", "sort_order"),
    reach=timedelta(days=7),
    source="search",
)
USER_TWEETS = Endpoint(
    name="user_tweets",
    path="/2/users/:id/tweets",
    answer="tweets",
    price=POST_READ,
    auth=ANY,
    fields=FIELDS_OF_TWEETS,
    window=WINDOW,
    page_token="pagination_token",  # noqa: S106
    page_size=PageSize(5),
    others=("exclude",),
    names="user",
    source="timeline",  # reaches back 3,200 tweets, however old they are
)
USER_MENTIONS = Endpoint(
    name="user_mentions",
    path="/2/users/:id/mentions",
    answer="tweets",
    price=POST_READ,
    auth=ANY,
    fields=FIELDS_OF_TWEETS,
    window=WINDOW,
    page_token="pagination_token",  # noqa: S106
    page_size=PageSize(5),
    names="user",
    source="mentions",  # reaches back 800 tweets, however old they are
)
TWEETS = Endpoint(
    name="tweets",
    path="/2/tweets",
    answer="tweets",
    price=POST_READ,
    auth=ANY,
    fields=FIELDS_OF_TWEETS,
    lists="ids",
    source="lookup",
)
USERS = Endpoint(
    name="users",
    path="/2/users",
    answer="users",
    price=USER_READ,
    auth=ANY,
    fields=FIELDS_OF_USERS,
    lists="ids",
)
USERS_BY = Endpoint(
    name="users_by",
    path="/2/users/by",
    answer="users",
    price=USER_READ,
    auth=ANY,
    fields=FIELDS_OF_USERS,
    lists="usernames",
)
COUNTS_RECENT = Endpoint(
    name="counts_recent",
    path="/2/tweets/counts/recent",
    answer="counts",
    price=COUNTS_REQUEST,
    auth=frozenset({"app", "oauth2_user"}),
    window=WINDOW,
    page_token="next_token",  # noqa: S106
    others=("query", "granularity", "search_count.fields"),
    reach=timedelta(days=7),
)
USAGE = Endpoint(
    name="usage",
    path="/2/usage/tweets",
    answer="usage",
    price=FREE,
    auth=frozenset({"app"}),
    others=("days", "usage.fields"),
)
TABLE = (SEARCH_RECENT, USER_TWEETS, USER_MENTIONS, TWEETS, USERS, USERS_BY, COUNTS_RECENT, USAGE)

_BY_NAME = {endpoint.name: endpoint for endpoint in TABLE}
_BY_PATH = {(endpoint.method, endpoint.path): endpoint for endpoint in TABLE}


def endpoint_named(name: str) -> Endpoint:
    """The row with this name. Raises ValueError if it is not in the table."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(
            f"there is no endpoint {name!r}: the table has {', '.join(sorted(_BY_NAME))}"
        ) from None


def endpoint_at(path: str, method: Method = "GET") -> Endpoint:
    """The row for a path, as ledgers and envelopes name it. Raises ValueError if it is not in the table."""
    try:
        return _BY_PATH[method, path]
    except KeyError:
        raise ValueError(
            f"no price is known for {method} {path}: add it to the table of endpoints first"
        ) from None
