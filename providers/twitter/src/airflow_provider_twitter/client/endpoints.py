"""The endpoints of the X API that this client asks, in one table: prices, pages, proofs and paths are read from it.

An endpoint has the name that X's documentation and rate limits give it: its path, with the id in it as `:id`. What is not
in the table is never asked, since nobody could say what it costs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Answer = Literal["tweets", "users", "counts", "usage"]


@dataclass(frozen=True, slots=True)
class PageSize:
    """`max_results` of an endpoint: the least that X takes, and what it gives when nobody says; 100 at most."""

    least: int
    default: int = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table.

    `answer`: what it gives, which says what proves it and what it costs. `page_size`: of an endpoint that answers in
    pages. `names`: the parameter that holds the one resource whose tweets are read. `lists`: the parameter that holds
    the ids or names that are looked up, separated by commas.
    """

    path: str
    answer: Answer
    page_size: PageSize | None = None
    names: str | None = None
    lists: str | None = None

    @property
    def smallest_page(self) -> int:
        """The fewest objects that may be asked for."""
        return 1 if self.page_size is None else self.page_size.least


SEARCH_RECENT = Endpoint("/2/tweets/search/recent", "tweets", page_size=PageSize(10))
USER_TWEETS = Endpoint("/2/users/:id/tweets", "tweets", page_size=PageSize(5), names="id")
TABLE = (
    SEARCH_RECENT,
    USER_TWEETS,
    Endpoint("/2/tweets", "tweets", lists="ids"),
    Endpoint("/2/users", "users", lists="ids"),
    Endpoint("/2/users/by", "users", lists="usernames"),
    Endpoint("/2/tweets/counts/recent", "counts"),
    Endpoint("/2/usage/tweets", "usage"),
)
MOST_LISTED = 100
"""How many ids or names X takes in one lookup."""

_BY_PATH = {endpoint.path: endpoint for endpoint in TABLE}


def endpoint_at(path: str) -> Endpoint:
    """The row of an endpoint. Raises ValueError for one that is not in the table."""
    try:
        return _BY_PATH[path]
    except KeyError:
        raise ValueError(
            f"no price is known for GET {path}: add it to the table of endpoints first"
        ) from None


def endpoint_of(route: str) -> tuple[str, dict[str, str]]:
    """The endpoint that a route leads to, and the id that stands in it; the route itself where it is in no row."""
    for path, pattern in _patterns():
        if found := pattern.fullmatch(route):
            return path, found.groupdict()
    return route, {}


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Paths without an id first: /2/users/by is no user of the id `by`."""
    ordered = sorted(_BY_PATH, key=lambda path: path.count(":"))
    return [(path, re.compile(re.sub(r":(\w+)", r"(?P<\1>\\d+)", path), re.ASCII)) for path in ordered]
