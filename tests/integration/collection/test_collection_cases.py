"""Answers of X with which tweets were once lost, and the required outcome: the files of tests/cases/collection."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.turns import TOKEN
from support.x_server import Answer, Asked, id_at, page
from twitter_pipeline.collection import rules
from twitter_pipeline.collection.lease import RuleWaits

CASES = Path(__file__).parents[2] / "cases" / "collection"
SEARCH = "/2/tweets/search/recent"
MINUTE = timedelta(minutes=1)
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Case:
    """One case file, with its texts turned into present ids."""

    def __init__(self, number: str) -> None:
        [path] = CASES.glob(f"{number}_*.json")
        self.now = datetime.now(UTC)
        self.given = json.loads(path.read_text())

    def at(self, text: str) -> int:
        sign, amount, unit = re.fullmatch(r"@(-?)(\d+)([mhd])", text).groups()
        age = timedelta(**{UNITS[unit]: int(amount)})
        return id_at(self.now + age if sign else self.now - age)

    def answers(self) -> list[Answer]:
        return [self._answer(each) for each in self.given["answers"]]

    def _answer(self, given: dict[str, Any]) -> Answer:
        if "tweets" in given:
            return Answer(page(*map(self.at, given["tweets"]), token=given.get("token")))
        headers = {name.replace("_", "-"): value for name, value in given.get("headers", {}).items()}
        if "type" in given:
            headers["content-type"] = given["type"]
        body = given["body"]
        return Answer(body.encode() if isinstance(body, str) else body, given.get("status", 200), headers)

    def ids(self) -> set[int]:
        """All tweets that X would return."""
        return {self.at(text) for answer in self.given["answers"] for text in answer.get("tweets", ())}


def searched(case: Case, x: Any, turns: Any) -> None:
    """Serve the case's answers for a rule with a query."""
    x.routes[SEARCH] = case.answers()
    turns.rule(query="coffee")


@pytest.mark.parametrize("number", ["01", "02", "05", "06"])
def test_what_x_did_not_answer_is_requested_again(x: Any, turns: Any, number: str) -> None:
    """Errors without data, an empty object, empty pages with tokens, and an empty page where results were announced."""
    case = Case(number)
    searched(case, x, turns)
    turns.take()
    assert set(turns.sink.ids) == case.ids()
    assert turns.one("select since_id from pipeline.checkpoints") == (max(case.ids()),)
    assert turns.one("select count(*) from pipeline.gaps") == (0,)


@pytest.mark.parametrize("number", ["01", "02"])
def test_an_answer_that_stays_empty_leaves_the_poll_unfinished(x: Any, turns: Any, number: str) -> None:
    """While X keeps returning nothing, since_id stays and the next turn continues below what was received."""
    case = Case(number)
    first, nothing, last = case.answers()
    turns.rule(query="coffee")
    x.routes[SEARCH] = [first, nothing]
    with pytest.raises(ExceptionGroup, match="'r'"):
        turns.take()
    oldest = min(int(tweet["id"]) for tweet in first.body["data"])
    assert turns.one("select since_id, poll_until_id from pipeline.checkpoints") == (None, oldest)
    x.routes[SEARCH] = [last]
    turns.take()
    assert set(turns.sink.ids) == case.ids()
    assert x.asked[-1].params["until_id"] == str(oldest)


def test_a_stray_tweet_above_the_window_does_not_become_the_newest(x: Any, turns: Any) -> None:
    """The tweet is kept, and the next poll starts where the unfinished one began."""
    case = Case("08")
    searched(case, x, turns)
    since, until, newest = (
        case.at(case.given["checkpoint"][n]) for n in ("since_id", "until_id", "newest_id")
    )
    turns.connection.execute(
        "insert into pipeline.checkpoints (rule, subject, since_id, poll_until_id, poll_newest_id)"
        " values ('r', 'search coffee', %s, %s, %s)",
        (since, until, newest),
    )
    turns.take()
    assert case.at("@2m") in turns.sink.ids
    assert turns.one("select since_id from pipeline.checkpoints") == (newest,)
    turns.take()
    assert int(x.asked[-1].params["since_id"]) == newest - (int(MINUTE.total_seconds() * 1000) << 22)


def test_a_refusal_by_a_firewall_says_nothing_about_the_token(x: Any, turns: Any) -> None:
    """The message says who answered; the rule is tried again."""
    searched(Case("11"), x, turns)
    with pytest.raises(ExceptionGroup) as failed:
        turns.take()
    reason = str(failed.value.exceptions[0])
    assert ("cloudflare" in reason, "1-X" in reason) == (True, True)
    assert turns.one("select parked_at from pipeline.rules") == (None,)


def test_a_page_of_a_captive_portal_costs_nothing(x: Any, turns: Any) -> None:
    """A complete HTML page with status 200 held no tweet: nothing is charged."""
    searched(Case("13"), x, turns)
    turns.budget_usd = Decimal(5)
    with pytest.raises(ExceptionGroup):
        turns.take()
    assert turns.one("select sum(coalesce(actual_usd, reserved_usd)) from pipeline.spend") == (0,)


def test_retry_after_is_a_floor(x: Any, turns: Any) -> None:
    """After a 429 without a reset, the rule is due when Retry-After says, and the run ends instead of waiting."""
    searched(Case("16"), x, turns)
    with pytest.raises(Exception, match="waits") as waits:
        turns.take()
    assert isinstance(waits.value, RuleWaits)
    (seconds,) = turns.one("select extract(epoch from next_due_at - now())::float from pipeline.rules")
    assert 590 < seconds <= 605


def test_a_token_in_an_answer_is_masked(x: Any, turns: Any) -> None:
    """Neither the message nor the record of the request nor the rule's error shows it."""
    searched(Case("17"), x, turns)
    with pytest.raises(Exception, match="Bearer") as refused:
        turns.take()
    recorded = turns.raw.api_requests.find_one({})
    (last_error,) = turns.one("select last_error from pipeline.rules")
    assert "bad header" in str(refused.value)
    assert TOKEN not in f"{refused.value!r} {recorded} {last_error}"


def five_tweets(now: datetime, number: int) -> Answer:
    return Answer(page(*(id_at(now - timedelta(minutes=each)) + number for each in range(1, 6))))


FAILURES = {
    "503": Answer({"title": "Service Unavailable", "status": 503}, 503),
    "404": Answer({"title": "Not Found", "status": 404}, 404),
    "403": Answer({"title": "Forbidden", "status": 403}, 403),
    "400": Answer({"title": "Invalid Request", "errors": [{"message": "id"}]}, 400),
    "HTML": Answer(b"<html>over capacity</html>", 200, {"content-type": "text/html"}),
    "nothing": Answer({}),
    "errors only": Answer({"errors": [{"message": "Internal error", "code": 131}]}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_one_account_that_fails_delays_no_other(x: Any, turns: Any, failure: Answer) -> None:
    """The others are read, and the turn says at its end which one failed and why."""
    case = Case("19")
    x.routes["/2/users/by"] = [Answer(case.given["routes"]["/2/users/by"])]
    x.routes["/2/users/101/tweets"] = [failure]
    for number in (102, 103):
        x.routes[f"/2/users/{number}/tweets"] = [five_tweets(case.now, number)]
    turns.rule("news", accounts=case.given["rule"]["accounts"])
    turns.tries = 1
    with pytest.raises(ExceptionGroup, match="news") as failed:
        turns.take("news")
    assert (len(turns.sink.ids), len(failed.value.exceptions)) == (10, 1)
    assert failed.value.exceptions[0].__notes__ == ["account anna"]
    states = turns.connection.execute(
        "select username, last_failure is not null from pipeline.accounts order by 1"
    )
    assert states.fetchall() == [("anna", True), ("bert", False), ("carl", False)]


def test_more_accounts_than_requests_in_a_window_all_have_their_turn(x: Any, turns: Any) -> None:
    """With five accounts and three requests per window, each is read at least once in two windows."""
    now = datetime.now(UTC)
    left = {"requests": 3}

    def limited(asked: Asked) -> Answer:
        if left["requests"] == 0:
            return Answer(b"", 429, {"x-rate-limit-reset": str(int(now.timestamp()) + 60)})
        left["requests"] -= 1
        return Answer(page())

    names = ["anna", "bert", "carl", "dora", "emil"]
    users = [{"id": str(101 + number), "username": name} for number, name in enumerate(names)]
    x.routes["/2/users/by"] = [Answer({"data": users})]
    for user in users:
        x.routes[f"/2/users/{user['id']}/tweets"] = limited
    turns.rule(accounts=names)
    for _ in range(2):
        left["requests"] = 3
        with pytest.raises(Exception, match="waits"):
            turns.take()
    answered = [path for path in x.paths() if path != "/2/users/by"]
    assert set(answered) == {f"/2/users/{user['id']}/tweets" for user in users}
    read = turns.one("select count(*) from pipeline.accounts where served_at is not null")
    assert read == (5,)


HICCUPS = {
    "a passing error for one name": {
        "data": [{"id": "101", "username": "anna"}],
        "errors": [{"value": "bert", "type": "https://api.x.com/2/problems/resource-unavailable"}],
    },
    "an internal error for all": {"errors": [{"message": "Internal error", "code": 131}]},
    "one name is not mentioned": {"data": [{"id": "101", "username": "anna"}]},
    "an error of a type of tomorrow": {
        "data": [{"id": "101", "username": "anna"}],
        "errors": [{"value": "bert", "type": "https://api.x.com/2/problems/moon-phase"}],
    },
}


@pytest.mark.parametrize("hiccup", HICCUPS.values(), ids=HICCUPS.keys())
def test_a_failed_lookup_says_nothing_about_a_name(x: Any, turns: Any, hiccup: Any) -> None:
    """The rule shows a problem, no name is noted as unknown, and the next turn asks again."""
    both = [{"id": "101", "username": "anna"}, {"id": "102", "username": "bert"}]
    x.routes["/2/users/by"] = [Answer(hiccup)]
    for number in (101, 102):
        x.routes[f"/2/users/{number}/tweets"] = [five_tweets(datetime.now(UTC), number)]
    turns.rule(accounts=["anna", "bert"])
    with pytest.raises(ExceptionGroup):
        turns.take()
    assert turns.one("select last_error is not null from pipeline.rules") == (True,)
    assert turns.one("select count(*) from pipeline.accounts where user_id is null") == (0,)
    x.routes["/2/users/by"] = [Answer({"data": both})]
    turns.take()
    assert len(turns.sink.ids) >= 10
    assert turns.one("select last_error from pipeline.rules") == (None,)


def test_last_polled_at_moves_only_when_something_was_read(x: Any, turns: Any) -> None:
    """A turn in which X answered nothing does not count as a poll."""
    x.routes["/2/users/by"] = [Answer({"errors": [{"code": 131}]})]
    turns.rule(accounts=["anna"])
    with pytest.raises(ExceptionGroup):
        turns.take()
    assert turns.one("select last_polled_at from pipeline.rules") == (None,)
    x.routes["/2/users/by"] = [Answer({"data": [{"id": "101", "username": "anna"}]})]
    x.routes["/2/users/101/tweets"] = [Answer(page())]
    turns.take()
    assert turns.one("select last_polled_at is not null from pipeline.rules") == (True,)


def search_of(kinds: dict[str, list[int]], page_size: int = 10) -> Any:
    """Recent search over the tweets of each query, as in X."""

    def answer(asked: Asked) -> Answer:
        ids = sorted(kinds[asked.params["query"]], reverse=True)
        ids = [each for each in ids if each > int(asked.params.get("since_id", -1))]
        ids = [each for each in ids if each < int(asked.params.get("until_id", 2**63))]
        start = int(asked.params.get("next_token", "0"))
        more = str(start + page_size) if start + page_size < len(ids) else None
        return Answer(page(*ids[start : start + page_size], token=more))

    return answer


@pytest.mark.parametrize("stopped", ["after a finished poll", "in the middle of a poll"])
def test_an_edited_query_has_a_history_of_its_own(x: Any, turns: Any, stopped: str) -> None:
    """All of the new query's tweets arrive; what the old query had not read is a gap, and its checkpoint stays."""
    now = datetime.now(UTC)
    coffee = [id_at(now - timedelta(minutes=each)) for each in range(1, 51)]
    tea = [id_at(now - timedelta(minutes=each)) + 1 for each in range(1, 51)]
    x.routes[SEARCH] = search_of({"coffee": coffee, "tea": tea})
    turns.rule(query="coffee")
    if stopped == "after a finished poll":
        turns.take()
    else:
        honest = x.routes[SEARCH]
        x.routes[SEARCH] = lambda asked: (
            honest(asked) if int(asked.params.get("next_token", "0")) < 20 else Answer(b"", 429)
        )
        with pytest.raises(Exception, match="waits"):
            turns.take()
        x.routes[SEARCH] = honest
    turns.rule(query="tea")
    turns.take()
    assert set(tea) <= set(turns.sink.ids)
    gaps = turns.connection.execute("select subject, reason from pipeline.gaps").fetchall()
    assert [subject for subject, _ in gaps] == (
        [] if stopped == "after a finished poll" else ["search coffee"]
    )
    turns.rule(query="coffee")
    turns.take()
    assert set(coffee) <= set(turns.sink.ids)


def test_a_first_poll_of_an_account_is_bounded(x: Any, turns: Any) -> None:
    """It reaches back seven days, or as far as the rule says, and no further."""
    now = datetime.now(UTC)
    made = [now - timedelta(hours=2 * each) for each in range(1000)]

    def timeline(asked: Asked) -> Answer:
        start = datetime.fromisoformat(asked.params["start_time"])
        ids = [id_at(moment) for moment in made if moment >= start]
        at = int(asked.params.get("pagination_token", "0"))
        return Answer(page(*ids[at : at + 100], token=str(at + 100) if at + 100 < len(ids) else None))

    x.routes["/2/users/by"] = [Answer({"data": [{"id": "0", "username": "anna"}]})]
    x.routes["/2/users/0/tweets"] = timeline
    turns.rule(accounts=["anna"])
    turns.take()
    assert len(turns.sink.ids) in (84, 85)


def test_a_tweet_larger_than_a_message_is_set_aside(x: Any, turns: Any) -> None:
    """Its bytes are in dead_letters under stage, request and tweet; the rest goes on and the poll ends."""
    now = datetime.now(UTC)
    ids = [id_at(now - timedelta(minutes=each)) for each in range(1, 51)]
    body = page(*ids)
    body["data"][25]["text"] = "\u4e00" * 400_000
    x.routes[SEARCH] = [Answer(body)]
    turns.rule(query="coffee")
    turns.take()
    assert set(turns.sink.ids) == set(ids) - {ids[25]}
    [letter] = list(turns.raw.dead_letters.find({}))
    assert letter["_id"].startswith("extract/")
    assert letter["_id"].endswith(f"/{ids[25]}")
    assert (letter["stage"], json.loads(letter["payload"])["tweet"]["id"]) == ("extract", str(ids[25]))
    observed = "select topic_id from pipeline.observed where kind = 'unread' and object_id = %s"
    assert turns.one(observed, ids[25]) == (letter["_id"],)
    assert turns.one("select since_id, poll_until_id from pipeline.checkpoints") == (max(ids), None)
    (counted,) = turns.one("select tweet_ids from pipeline.pages")
    assert ids[25] in counted


def test_more_rules_than_a_mapped_task_takes(turns: Any) -> None:
    """Of 1,025 due rules a run takes those that wait longest, as many as Airflow maps."""
    turns.connection.execute(
        "insert into pipeline.rules (name, kind, spec) select 'r' || n, 'search', '{\"query\": \"coffee\"}' from generate_series(1, 1025) n"
    )
    assert 1000 <= len(rules.due(turns.connection)) <= 1024


def test_a_rate_limit_ends_the_run_and_gives_the_rule_back(x: Any, turns: Any) -> None:
    """No run is held while a limit is waited for: the rule is due at the reset, and the next run is free."""
    reset = int(datetime.now(UTC).timestamp()) + 300
    x.routes[SEARCH] = [Answer(b"", 429, {"x-rate-limit-reset": str(reset)})]
    turns.rule(query="coffee")
    with pytest.raises(Exception, match="waits") as waits:
        turns.take()
    assert isinstance(waits.value, RuleWaits)
    assert turns.one("select leased_by, last_error from pipeline.rules") == (None, None)
    (due,) = turns.one("select extract(epoch from next_due_at)::float from pipeline.rules")
    assert reset <= due <= reset + 10
