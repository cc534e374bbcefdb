"""An X with every behaviour ever observed: its tweets are collected, or a gap names what is missing."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from airflow_provider_twitter.client import (
    Backoff,
    InvalidRequest,
    Limits,
    Pace,
    RateLimited,
    TryAgain,
    XClient,
)
from airflow_provider_twitter.client.ledger import CircuitOpen
from airflow_provider_twitter.poll import Gap, InMemoryBooks, poll
from support.x_server import id_at
from tweet_envelope.ids import EPOCH_MS

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REACH = timedelta(days=7)
PAGE = 10


def made(tweet_id: int) -> datetime:
    return datetime.fromtimestamp(((tweet_id >> 22) + EPOCH_MS) / 1000, UTC)


@dataclass
class World:
    """X's tweets and clock, our clock, and how badly X behaves, all derived from one seed."""

    seed: int
    now: datetime = BEGAN
    tweets: list[int] = field(default_factory=list)
    rudeness: float = 0.35

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.skew = timedelta(minutes=self.random.choice([0, 0, -7, 11, 180, -180]))
        self.last_page: bytes = b'{"meta":{"result_count":0}}'
        self.stretches: dict[str, int] = {}
        self.grow(40, timedelta(days=2))

    def grow(self, count: int, span: timedelta) -> None:
        """This many tweets, created within the span before now by X's clock (X shows them 30 s later)."""
        latest = self.now + self.skew - timedelta(seconds=30)
        for _ in range(count):
            self.tweets.append(id_at(latest - span * self.random.random(), self.random.randrange(4096)))

    def __call__(self, handled: Any, asked: Any) -> None:
        there = self.now + self.skew
        date = {"date": format_datetime(there, usegmt=True)}
        draw = self.random.random() / self.rudeness if self.rudeness else 1.0
        if draw < 0.12:
            return handled.send(
                b"<html>busy</html>", self.random.choice([200, 403, 404, 503]), content_type="text/html"
            )
        if draw < 0.24:
            body = self.random.choice(
                [b"{}", b'{"errors":[{"code":131}]}', b'{"data":null}', b'{"meta":{}}', b"[]"]
            )
            return handled.send(body, **date)
        if draw < 0.30:
            return handled.send(b"{}", 429, **date)
        if draw < 0.36:
            return handled.send(self.last_page, **date)
        oldest = there - REACH
        for name in ("since_id", "until_id"):
            if name in asked.params and made(int(asked.params[name])) < oldest:
                return handled.send(
                    b'{"title":"Invalid Request","errors":[{"message":"too old"}]}', 400, **date
                )
        if "start_time" in asked.params and datetime.fromisoformat(asked.params["start_time"]) < oldest:
            return handled.send(b'{"title":"Invalid Request","errors":[{"message":"too old"}]}', 400, **date)
        return handled.send(self._page(asked.params, oldest, draw), **date)

    def _page(self, params: dict[str, str], oldest: datetime, draw: float) -> bytes:
        token = params.get("next_token", "")
        below, _, stretch = token.partition("/")
        until = int(below) if below else int(params.get("until_id", 2**63))
        start = params.get("start_time")
        oldest = max(oldest, datetime.fromisoformat(start)) if start else oldest
        since = int(params.get("since_id", 0))
        fitting = sorted(
            (each for each in self.tweets if since < each < until and made(each) >= oldest), reverse=True
        )
        if (
            draw < 0.48 and len(stretch) < 4
        ):  # a stretch of removed tweets: an empty page with a token of its own
            meta = {"result_count": 0, "next_token": f"{until}/{stretch}x"}
            return msgspec.json.encode({"meta": meta})
        if draw < 0.54 and token:  # the promised page comes empty once
            return b'{"meta":{"result_count":0}}'
        given = fitting[:PAGE]
        meta = {"result_count": len(given)}
        if len(fitting) > PAGE:
            meta["next_token"] = str(given[-1])
        shown = list(given)
        if draw < 0.70:  # strays: from above the window, from below it, from the future
            stray = self.random.choice(
                [max(self.tweets), min(self.tweets), id_at(self.now + timedelta(days=5))]
            )
            shown.insert(self.random.randrange(len(shown) + 1), stray)
            meta["result_count"] = len(shown)
        self.last_page = msgspec.json.encode(
            {"meta": meta} | ({"data": [{"id": str(each), "text": "t"} for each in shown]} if shown else {})
        )
        return self.last_page


@dataclass
class BooksOf(InMemoryBooks):
    """Books whose circuit lives by the clock of the world."""

    world: Any = None

    def now(self) -> datetime:
        return self.world.now


def missing_without_a_gap(world: World, collected: set[int], gaps: list[Gap]) -> list[int]:
    """Tweets that neither arrived nor lie in a window named by a gap."""

    def is_named(tweet_id: int) -> bool:
        return any(
            (gap.since_id is None or tweet_id > gap.since_id)
            and (gap.until_id is None or tweet_id < gap.until_id)
            and (gap.from_at is None or made(tweet_id) >= gap.from_at - timedelta(minutes=2))
            and (gap.to_at is None or made(tweet_id) <= gap.to_at + timedelta(minutes=2))
            for gap in gaps
        )

    return [each for each in world.tweets if each not in collected and not is_named(each)]


SEEDS = [*range(25), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(25, 100))]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_x_had_is_collected_or_a_gap_names_it(x: Any, sink: Any, seed: int) -> None:
    """Over days of polls, including outages longer than X's reach, there is no third case."""
    world = World(seed)
    x.now_behaves(world)
    books = BooksOf(world=world)
    with XClient(
        "token",
        base_url=x.url,
        allow_local=True,
        limits=Limits(connect_seconds=2, read_seconds=2, total_seconds=5),
        backoff=Backoff(tries=2),
        pace=Pace(now=lambda: world.now, sleep=lambda seconds: None),
    ) as client:

        def poll_once() -> None:
            try:
                poll(client, "coffee", books, sink, clock=lambda: world.now, page_size=PAGE, max_pages=30)
            except CircuitOpen as circuit:
                world.now = circuit.probe_at
            except (TryAgain, RateLimited):
                pass

        for turn in range(25):
            poll_once()
            pause = timedelta(days=9) if turn == 12 and seed % 4 == 0 else timedelta(minutes=20)
            world.now += pause
            world.grow(world.random.randrange(0, 15), pause)
        world.rudeness = 0
        world.now += timedelta(hours=1)
        for _ in range(12):
            world.now += timedelta(minutes=5)
            poll_once()
    assert missing_without_a_gap(world, set(sink.ids), books.gaps) == []
    assert books.checkpoint.since_id is not None
    assert books.checkpoint.until_id is None
    assert books.checkpoint.since_id <= id_at(world.now + world.skew)


def test_a_refusal_is_still_a_refusal(x: Any, client: Any, books: Any, sink: Any) -> None:
    """A refusal that no clock explains is X's verdict on the request."""
    x.answers({"title": "Invalid Request", "errors": [{"message": "bad query"}]}, 400)
    with pytest.raises(InvalidRequest):
        poll(client, "((", books, sink)
