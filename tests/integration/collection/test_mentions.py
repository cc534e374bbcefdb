"""A rule of `mentions:` reads the tweets that mention its accounts, from the simulator over HTTP."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from support.simulators import Simulator, serve
from x_api_simulator.clock import Clock
from x_api_simulator.world import World

NOW_MS = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulated X whose clock is stopped at about now, two hours after it began."""
    with serve(World(7, NOW_MS - 2 * 3_600_000, 1.0, Clock(frozen_at_ms=NOW_MS))) as simulator:
        yield simulator


@pytest.fixture
def turns_of(turns: Any, simulator: Simulator) -> Any:
    """Turns of rules that ask the simulator."""
    turns.x = SimpleNamespace(url=str(simulator.http.base_url))
    return turns


def mentioning(simulator: Simulator, name: str) -> list[int]:
    """The ids of the tweets that mention an account, oldest first."""
    return sorted(int(each) for each in simulator.truth(query=f"@{name} -is:retweet")["ids"])


def most_mentioned(simulator: Simulator) -> list[str]:
    """Of the accounts mentioned in the newest tweets, the two that most tweets mention."""
    query = "(coffee OR tea OR music) has:mentions -is:retweet"
    tweets = simulator.search(query, max_results=100, tweet__fields="entities")["data"]
    names = {m["username"] for t in tweets for m in t["entities"].get("mentions", ()) if "id" in m}
    return sorted(names, key=lambda name: (len(mentioning(simulator, name)), name))[-2:]


def test_everything_that_mentions_the_accounts_is_read_once(simulator: Simulator, turns_of: Any) -> None:
    """Page by page, each account with a checkpoint of its own; the next turn brings only what is new."""
    names = most_mentioned(simulator)
    expected = {name: mentioning(simulator, name) for name in names}
    assert all(len(ids) > 10 for ids in expected.values()), "a single page proves little"
    turns_of.rule(mentions=names, page_size=10)
    turns_of.take()
    assert set(turns_of.sink.ids) == {each for ids in expected.values() for each in ids}
    sources = {json.loads(message.value)["provenance"]["source"] for message in turns_of.sink.messages}
    assert sources == {"mentions"}
    checkpoints = dict(
        turns_of.connection.execute(
            "select subject, since_id from pipeline.checkpoints where rule = 'r'"
        ).fetchall()
    )
    user_ids = dict(turns_of.connection.execute("select username, user_id from pipeline.accounts").fetchall())
    assert checkpoints == {f"mentions {user_ids[name.lower()]}": ids[-1] for name, ids in expected.items()}
    assert turns_of.one("select distinct endpoint from pipeline.pages") == ("/2/users/:id/mentions",)
    before = len(turns_of.sink.ids)
    turns_of.take()
    again = set(turns_of.sink.ids[before:])
    newest = {each for ids in expected.values() for each in ids[-20:]}
    assert again <= newest, "no further back than the overlap"


def test_an_account_that_x_does_not_show_does_not_hold_up_the_others(
    simulator: Simulator, turns_of: Any
) -> None:
    """What X says about it is kept with the account, as it is for timelines."""
    [name, _] = most_mentioned(simulator)
    turns_of.rule(mentions=[name, "nobody_here"])
    turns_of.take()
    assert sorted(set(turns_of.sink.ids)) == mentioning(simulator, name)
    state = "select state from pipeline.accounts where username = 'nobody_here'"
    assert turns_of.one(state) == ("gone",)
