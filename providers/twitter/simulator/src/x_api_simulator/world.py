"""The world as a reader sees it: everything that exists, ordered so that a window of ids takes two bisections.

Holds what grew by itself (growth.py) and what the control door added, and answers three questions: which ids
match a query or an author, what an id stands for, and what could be found at a given moment. Answers to a query are
kept and only extended by what came since, so a world that has run for hours is as cheap to query as a young one.
"""

from __future__ import annotations

import gc
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field

from x_api_simulator.clock import Clock, first_id
from x_api_simulator.growth import Growth
from x_api_simulator.population import User, newcomer
from x_api_simulator.query import Query
from x_api_simulator.tweets import Tweet

KEPT_QUERIES = 256
TIMELINE_DEPTH = 3_200
"""A user's timeline goes back 3,200 posts (x-api-v2.md §2)."""


@dataclass(slots=True)
class _Answer:
    ids: list[int] = field(default_factory=list)
    read: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """Ids in a window, ascending, at one moment.

    `ids`: what search or the timeline shows then. `superseded` and `removed`: what it showed at some earlier moment
    but no longer does because of an edit or a deletion.
    """

    ids: list[int]
    superseded: list[int]
    removed: list[int]


class World:
    """Everything that exists. Not thread-safe: the server uses it from one event loop."""

    def __init__(self, seed: int, epoch_ms: int, rate: float, clock: Clock | None = None) -> None:
        self.seed, self.epoch_ms, self.rate = seed, epoch_ms, rate
        self.clock = clock or Clock()
        self._growth = Growth(seed, epoch_ms, rate)
        self.users: dict[int, User] = {}
        self.by_username: dict[str, User] = {}
        for user in (*self._growth.people, *self._growth.spoken_of):
            self._admit(user)
        self.tweets: dict[int, Tweet] = {}
        self._log: list[Tweet] = []
        self._by_author: defaultdict[int, list[int]] = defaultdict(list)
        self._referring: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._odd_ids = 0

    @property
    def ghosts(self) -> dict[int, User]:
        return self._growth.ghosts

    @property
    def most_active(self) -> list[User]:
        return self._growth.people

    def now_ms(self) -> int:
        """The clock's time, after creating everything that is due by then."""
        now_ms = self.clock.now_ms()
        self.grow(now_ms)
        return now_ms

    def grow(self, until_ms: int) -> None:
        """Bring the world up to this moment; does nothing if it is already there."""
        collecting = gc.isenabled()
        gc.disable()  # a hundred thousand small objects, none of them garbage
        try:
            for tweet in self._growth.until(until_ms):
                self._keep(tweet)
        finally:
            if collecting:
                gc.enable()

    def add(self, tweet: Tweet) -> None:
        """Add a tweet that the control door created, at any point in time."""
        if tweet.id in self.tweets:
            raise ValueError(f"id {tweet.id} already exists; leave the id out to get a free one")
        self._keep(tweet)

    def remove(self, tweet: Tweet, at_ms: int) -> None:
        """Delete it and every version of its edit chain (x-api-v2.md §4)."""
        for version in tweet.versions or [tweet.id]:
            self.tweets[version].removed_ms = min(at_ms, self.tweets[version].removed_ms)

    def user_named(self, username: str, at_ms: int) -> User:
        """The account with that name; creates one if there is none."""
        found = self.by_username.get(username.casefold())
        return found or self._admit(newcomer(username, at_ms))

    def free_id(self, at_ms: int) -> int:
        """An odd id in this millisecond, which can never be one of the seed's."""
        while True:
            self._odd_ids += 1
            tweet_id = first_id(at_ms) + ((2 * self._odd_ids + 1) & 0x3FFFFF)
            if tweet_id not in self.tweets:
                return tweet_id

    def ids_matching(self, query: Query) -> list[int]:
        """Every id whose tweet matches, ascending, whatever its current state."""
        answer = self._answers.setdefault(query.text, _Answer())
        self._answers.move_to_end(query.text)
        if len(self._answers) > KEPT_QUERIES:
            self._answers.popitem(last=False)
        ids, matches = answer.ids, query.matches
        for tweet in self._log[answer.read :]:
            if matches(tweet):
                _place(ids, tweet.id)
        answer.read = len(self._log)
        return ids

    def ids_by(self, user_id: int) -> list[int]:
        """Every id by that author, ascending, as far back as a timeline goes."""
        return self._by_author[user_id][-TIMELINE_DEPTH:] if user_id in self._by_author else []

    def referring(self, kind: str, tweet_id: int, at_ms: int) -> int:
        """How many tweets retweeted, quoted or answered this one up to a moment."""
        ids = self._referring.get((kind, tweet_id))
        return bisect_left(ids, first_id(at_ms + 1)) if ids else 0

    def written_by(self, user_id: int, at_ms: int) -> int:
        """How many tweets this author has written up to a moment."""
        ids = self._by_author.get(user_id)
        return bisect_left(ids, first_id(at_ms + 1)) if ids else 0

    def newest_by(self, user_id: int, at_ms: int) -> int | None:
        """The author's newest tweet that can be found at a moment."""
        for tweet_id in reversed(self._by_author.get(user_id, [])):
            if self.tweets[tweet_id].found_at(at_ms):
                return tweet_id
        return None

    def truth(self, ids: list[int], lowest: int, highest: int, at_ms: int) -> Truth:
        """Those of `ids` with lowest <= id <= highest, sorted by their state at `at_ms`."""
        answer = Truth([], [], [])
        for tweet_id in ids[bisect_left(ids, lowest) : bisect_right(ids, highest)]:
            tweet = self.tweets[tweet_id]
            if tweet.found_at(at_ms):
                answer.ids.append(tweet_id)
            elif tweet.was_found_before(at_ms):
                (answer.superseded if tweet.exists_at(at_ms) else answer.removed).append(tweet_id)
        return answer

    def __len__(self) -> int:
        return len(self._log)

    def _keep(self, tweet: Tweet) -> None:
        self.tweets[tweet.id] = tweet
        self._log.append(tweet)
        _place(self._by_author[tweet.author.id], tweet.id)
        for kind, target in tweet.refs:
            _place(self._referring[kind, target], tweet.id)
        if len(tweet.versions) > 1:
            tweet.removed_ms = min(self.tweets[version].removed_ms for version in tweet.versions)

    def _admit(self, user: User) -> User:
        self.users[user.id] = user
        self.by_username[user.username.casefold()] = user
        return user


def _place(ids: list[int], tweet_id: int) -> None:
    if not ids or ids[-1] < tweet_id:
        ids.append(tweet_id)
    else:
        insort(ids, tweet_id)
