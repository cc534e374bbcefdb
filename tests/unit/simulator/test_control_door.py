"""The control door: tweets on demand, time, deletion, and a journal that survives kill -9."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from x_api_simulator.clock import first_id, moment_of, parse_moment, to_text
from x_api_simulator.journal import Journal, JournalMismatch

RECENT = "/2/tweets/search/recent"
FIELDS = "author_id,created_at,entities,attachments,referenced_tweets,note_tweet,withheld"
AN_HOUR_AGO = "2026-03-01T01:00:00Z"


@pytest.fixture
def simulator(start: Any) -> Any:
    return start()


def test_a_seeded_tweet_is_found_like_any_other(simulator: Any) -> None:
    """Text, author and time as requested; entities with offsets in the escaped text; links through t.co."""
    order = {
        "text": "Tea & 🍵 #grünertee with @Mada https://example.org/a?b=1&c=2",
        "author": "tea_lover",
        "created_at": AN_HOUR_AGO,
        "media": ["photo", "photo"],
    }
    (tweet_id,) = simulator.control("tweets", [order])["ids"]
    assert moment_of(int(tweet_id)) == parse_moment(AN_HOUR_AGO)
    page = simulator.search("#grünertee from:tea_lover", tweet__fields=FIELDS, expansions="author_id")
    tweet = page["data"][0]
    tag, link = tweet["entities"]["hashtags"][0], tweet["entities"]["urls"][0]
    assert tweet["text"].startswith("Tea &amp; 🍵 #grünertee")
    assert tweet["text"][tag["start"] : tag["end"]] == "#grünertee"
    assert tweet["text"][link["start"] : link["end"]] == link["url"]
    assert link["expanded_url"] == "https://example.org/a?b=1&c=2"
    assert len(tweet["attachments"]["media_keys"]) == 2
    assert page["includes"]["users"][0]["username"] == "tea_lover"
    assert simulator.ok("/2/users/by", usernames="tea_lover")["data"][0]["id"] == tweet["author_id"]


def test_seeded_tweets_answer_quote_retweet_and_edit(simulator: Any) -> None:
    """Each kind refers to its target; an edit takes its predecessor's place in search."""
    common = {"author": "tea_lover", "created_at": AN_HOUR_AGO}
    (first,) = simulator.control("tweets", {"text": "first teacup", **common})["ids"]
    reply, quote, retweet, edit = simulator.control(
        "tweets",
        [
            {"text": "@tea_lover teacup indeed", "in_reply_to": first, "created_at": "2026-03-01T01:01:00Z"},
            {"text": "look, a teacup", "quotes": first, "created_at": "2026-03-01T01:02:00Z"},
            {"retweets": first, "created_at": "2026-03-01T01:03:00Z"},
            {"text": "second teacup", "edits": first, "created_at": "2026-03-01T01:04:00Z"},
        ],
    )["ids"]
    truth = simulator.truth(query="teacup")
    assert truth["ids"] == [reply, quote, retweet, edit]
    assert truth["superseded"] == [first]
    page = simulator.search("teacup", tweet__fields=FIELDS)
    kinds = {t["id"]: t["referenced_tweets"][0]["type"] for t in page["data"] if "referenced_tweets" in t}
    assert kinds == {reply: "replied_to", quote: "quoted", retweet: "retweeted"}
    assert page["data"][0]["edit_history_tweet_ids"] == [first, edit]


def test_a_long_seeded_text_becomes_a_note(simulator: Any) -> None:
    """Over 280 code points: a cut text, and the whole in note_tweet; found by words of its end."""
    simulator.control("tweets", {"text": "word " * 80 + "finale", "created_at": AN_HOUR_AGO})
    tweet = simulator.search("finale", tweet__fields=FIELDS)["data"][0]
    assert tweet["note_tweet"]["text"].endswith("finale")
    assert "finale" not in tweet["text"]


def test_ids_can_be_chosen_for_ties_and_late_indexing(simulator: Any) -> None:
    """A given id is used; indexed_at keeps a tweet out of search until then."""
    now_ms = simulator.world.now_ms()
    chosen = str(first_id(now_ms - 60_000) + 5)
    order = {"text": "late bird", "id": chosen, "indexed_at": to_text(now_ms + 60_000)}
    assert simulator.control("tweets", order)["ids"] == [chosen]
    assert simulator.truth(query='"late bird"')["ids"] == []
    simulator.control("clock", {"advance_seconds": 61})
    assert simulator.walk(RECENT, query='"late bird"') == [chosen]
    assert simulator.http.post("/_control/tweets", json=order).status_code == 400


def test_deleted_tweets_vanish_with_their_retweets_and_versions(simulator: Any) -> None:
    """Deleted tweets are gone from search and lookups; the truth still lists them as removed."""
    (first,) = simulator.control("tweets", {"text": "gone teapot", "created_at": AN_HOUR_AGO})["ids"]
    (again,) = simulator.control("tweets", {"retweets": first, "created_at": AN_HOUR_AGO})["ids"]
    before = simulator.world.now_ms()
    simulator.control("clock", {"advance_seconds": 10})
    assert simulator.control("tweets/delete", {"ids": [first]}) == {"deleted": [first]}
    truth = simulator.truth(query="teapot")
    assert (truth["ids"], truth["removed"]) == ([], [first, again])
    assert simulator.search("teapot") == {"meta": {"result_count": 0}}
    assert "data" not in simulator.ok("/2/tweets", ids=f"{first},{again}")
    assert simulator.truth(query="teapot", at=to_text(before))["ids"] == [first, again]


def test_withheld_tweets_say_where(simulator: Any) -> None:
    """A withheld tweet is still found, with its countries."""
    (one,) = simulator.control("tweets", {"text": "hush teapot", "created_at": AN_HOUR_AGO})["ids"]
    simulator.control("tweets/withhold", {"ids": [one], "country_codes": ["DE", "AT"]})
    tweet = simulator.search("teapot", tweet__fields="withheld")["data"][0]
    assert tweet["withheld"] == {"copyright": False, "country_codes": ["DE", "AT"], "scope": "tweet"}


def test_time_stands_leaps_and_runs(simulator: Any) -> None:
    """The clock can be frozen, moved and advanced; unfrozen, it continues from where it stopped."""
    simulator.control("clock", {"now": "2026-03-01T05:00:00Z"})
    assert simulator.ok("/_control/clock") == {"now": "2026-03-01T05:00:00.000Z", "frozen": True}
    assert simulator.control("clock", {"advance_seconds": 90})["now"] == "2026-03-01T05:01:30.000Z"
    running = simulator.control("clock", {"frozen": False})
    assert running["now"].startswith("2026-03-01T05:01:3")
    assert running["frozen"] is False
    assert simulator.control("clock", {"frozen": True})["frozen"] is True


def test_truth_can_be_asked_for_any_moment(start: Any) -> None:
    """What was searchable at T is what a search at T showed."""
    simulator = start(rate=0.5)
    shown = simulator.walk(RECENT, query="the", max_results=100)
    then = to_text(simulator.world.now_ms())
    simulator.control("clock", {"advance_seconds": 1200})
    assert simulator.truth(query="the", at=then)["ids"] == shown[::-1]
    assert simulator.truth(query="the")["ids"] != shown[::-1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tweets", {"author": "no_text"}),
        ("tweets", {"text": "x", "colour": "red"}),
        ("tweets", {"text": "x", "author": "not a name"}),
        ("tweets", {"text": "x", "created_at": "yesterday"}),
        ("tweets", {"retweets": "1"}),
        ("tweets/delete", {"ids": ["1"]}),
        ("tweets/delete", {}),
        ("clock", {"speed": 2}),
        ("limits", {"endpoint": "nowhere", "limit": 1}),
    ],
)
def test_wrong_orders_are_refused_with_a_reason(simulator: Any, path: str, body: Any) -> None:
    """A bad request gets a 400 with an explanation."""
    answer = simulator.http.post(f"/_control/{path}", json=body)
    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 5


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], httpx.Client]]]:
    """Starts the command with a journal; every process is gone at the end."""
    processes: list[subprocess.Popen[str]] = []

    def launch_one() -> tuple[subprocess.Popen[str], httpx.Client]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-c", "from x_api_simulator.cli import main; main()"]
        options = ["--port", str(port), "--epoch", "2026-03-01T00:00:00Z", "--rate", "0.001", "--seed", "3"]
        process = subprocess.Popen([*command, *options, "--journal", str(tmp_path / "journal")], text=True)
        processes.append(process)
        http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer any"}, timeout=60
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                http.get("/_control/health")
                return process, http
            except httpx.ConnectError:
                time.sleep(0.05)
        raise TimeoutError("the simulator did not answer within 20 s")

    yield launch_one
    for process in processes:
        process.kill()
        process.wait(10)


def test_kill_dash_nine_and_a_restart_give_the_same_world(launch: Any) -> None:
    """Seeded tweets, a deletion, a withholding and the clock are as they were."""
    process, http = launch()
    http.post("/_control/clock", json={"frozen": True, "now": "2026-03-02T00:00:00Z"})
    orders = [{"text": f"teapot {n}", "created_at": AN_HOUR_AGO, "author": "tea_lover"} for n in range(3)]
    ids = http.post("/_control/tweets", json=orders).json()["ids"]
    http.post("/_control/tweets/delete", json={"ids": ids[:1]})
    http.post("/_control/tweets/withhold", json={"ids": ids[1:2]})
    asked = {
        "query": "teapot OR the OR is",
        "max_results": "100",
        "expansions": "author_id",
        "tweet.fields": FIELDS,
    }
    before = http.get(RECENT, params=asked).json()
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    _, http = launch()
    assert http.get(RECENT, params=asked).json() == before
    more = http.post("/_control/tweets", json=[{"text": "teapot 4", "created_at": AN_HOUR_AGO}]).json()["ids"]
    assert not set(more) & set(ids)


def test_a_journal_of_another_world_is_refused(tmp_path: Path) -> None:
    """Changes are not replayed into another world than the one they were made for."""
    path = tmp_path / "journal"
    Journal(path, {"seed": 1}).close()
    with pytest.raises(JournalMismatch, match="seed"):
        Journal(path, {"seed": 2})


def test_a_torn_last_line_of_the_journal_is_dropped(tmp_path: Path) -> None:
    """An incomplete last line was never answered; what is written after it is readable."""
    path = tmp_path / "journal"
    journal = Journal(path, {"seed": 1})
    journal.write({"do": "first"})
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"do": "tor')
    torn = Journal(path, {"seed": 1})
    torn.write({"do": "second"})
    torn.close()
    again = Journal(path, {"seed": 1})
    assert [entry["do"] for entry in again.entries] == ["first", "second"]
    again.close()
