"""One item of a rule never delays the others, and what X says about an account is recorded and shown."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from support.x_server import Answer, Asked, id_at, page
from twitter_pipeline.collection import pages
from twitter_pipeline.collection.collect import RuleParked
from twitter_pipeline.collection.lease import RuleStopped, RuleWaits

SEARCH = "/2/tweets/search/recent"
TYPES = "https://api.x.com/2/problems/"


def users(**ids: int) -> Answer:
    return Answer({"data": [{"id": str(user_id), "username": name} for name, user_id in ids.items()]})


def refusal(title: str, kind: str, value: str) -> dict[str, str]:
    return {
        "title": title,
        "type": TYPES + kind,
        "value": value,
        "resource_id": value,
        "detail": f"[{value}]",
    }


def account(turns: Any, name: str) -> Any:
    return turns.one(
        "select state, state_reason, user_id, previous_user_id from pipeline.accounts where username = %s",
        name,
    )


@pytest.mark.parametrize(
    ("title", "kind", "state"),
    [
        ("Authorization Error", "not-authorized-for-resource", "protected"),
        ("Forbidden", "resource-not-found", "suspended"),
    ],
)
def test_an_account_that_x_does_not_show_is_a_state_and_not_a_failure(
    x: Any, turns: Any, title: str, kind: str, state: str
) -> None:
    """The turn succeeds, the others are read, and this account is tried again a day later."""
    x.routes["/2/users/by"] = [users(anna=101, bert=102)]
    x.routes["/2/users/101/tweets"] = [Answer({"errors": [refusal(title, kind, "101")]})]
    x.routes["/2/users/102/tweets"] = [Answer(page(id_at(datetime.now(UTC) - timedelta(minutes=5))))]
    turns.rule(accounts=["anna", "bert"])
    turns.take()
    assert (len(turns.sink.ids), account(turns, "anna")[:2]) == (1, (state, f"{title}: [101]"))
    asked = x.paths().count("/2/users/101/tweets")
    turns.take()
    assert x.paths().count("/2/users/101/tweets") == asked
    turns.ahead = timedelta(hours=25)
    turns.take()
    assert x.paths().count("/2/users/101/tweets") == asked + 1


def test_a_dead_id_is_resolved_again(x: Any, turns: Any) -> None:
    """The name may belong to another user by now, who is read from here on; the account's state says so."""
    gone = Answer({"errors": [refusal("Not Found Error", "resource-not-found", "101")]})
    x.routes["/2/users/by"] = [users(anna=101), users(anna=909)]
    x.routes["/2/users/101/tweets"] = [gone]
    x.routes["/2/users/909/tweets"] = [Answer(page(id_at(datetime.now(UTC) - timedelta(minutes=5))))]
    turns.rule(accounts=["anna"])
    turns.take()
    assert account(turns, "anna")[0] == "gone"
    turns.take()
    assert (account(turns, "anna")[0], account(turns, "anna")[2:]) == ("taken over", (909, 101))
    assert len(turns.sink.ids) == 1


def test_a_renamed_account_is_noticed_by_its_tweets(x: Any, turns: Any) -> None:
    """Each page contains the author's present name; no extra request is made for it."""
    x.routes["/2/users/by"] = [users(anna=101)]
    body = page(id_at(datetime.now(UTC) - timedelta(minutes=5)))
    body["includes"] = {"users": [{"id": "101", "username": "Anna_Two"}, {"id": "5", "username": "anna"}]}
    x.routes["/2/users/101/tweets"] = [Answer(body)]
    turns.rule(accounts=["anna"])
    turns.take()
    assert account(turns, "anna")[:2] == ("renamed", "the account goes by @Anna_Two now")


def test_a_name_that_x_considers_invalid_does_not_fail_the_lookup(x: Any, turns: Any) -> None:
    """The others are found by bisection, and the invalid name is refused with X's reason."""

    def look_up(asked: Asked) -> Answer:
        names = asked.params["usernames"].split(",")
        if "a_name_of_twenty_six_letters" in names:
            return Answer({"title": "Invalid Request", "errors": [{"message": "usernames"}]}, 400)
        return users(**{name: 100 + len(name) for name in names})

    x.routes["/2/users/by"] = look_up
    for number in (104, 105):
        x.routes[f"/2/users/{number}/tweets"] = [Answer(page())]
    turns.rule(accounts=["anna", "bertz", "a_name_of_twenty_six_letters"])
    turns.take()
    assert account(turns, "a_name_of_twenty_six_letters")[0] == "disallowed"
    assert {"/2/users/104/tweets", "/2/users/105/tweets"} <= set(x.paths())


def test_lost_pages_do_not_delay_a_poll(x: Any, turns: Any) -> None:
    """A failed refetch leaves its page lost; the search goes on, and the turn raises the failure at its end."""
    made = id_at(datetime.now(UTC) - timedelta(minutes=5))
    x.routes["/2/tweets"] = [Answer({"title": "Invalid Request"}, 400)]
    x.routes[SEARCH] = [Answer(page(made))]
    turns.rule(query="coffee")
    turns.take()
    assert pages.settle(turns.connection, "raw-tweets", "another") == {"settled": 0, "lost": 1}
    with pytest.raises(ExceptionGroup) as failed:
        turns.take()
    assert len(failed.value.exceptions) == 1
    assert x.paths()[-1] == SEARCH
    x.routes["/2/tweets"] = [Answer({"data": [{"id": str(made), "text": "again"}]})]
    turns.take()
    assert turns.one("select count(*) from pipeline.pages where state = 'refetched'") == (1,)


def test_a_count_that_differs_is_noted_with_the_request(x: Any, turns: Any) -> None:
    """What arrived is kept, the poll goes on, and the recorded request says how many results X had announced."""
    ids = [id_at(datetime.now(UTC) - timedelta(minutes=each)) for each in (5, 6, 7)]
    short = page(*ids[:2])
    short["meta"]["result_count"] = 500
    x.routes[SEARCH] = [Answer(short | {"meta": {**short["meta"], "next_token": "n"}}), Answer(page(ids[2]))]
    x.routes[SEARCH].insert(1, x.routes[SEARCH][0])
    turns.rule(query="coffee")
    turns.take()
    assert (set(turns.sink.ids), len(x.asked)) == (set(ids), 3)
    noted = list(turns.raw.api_requests.find({"stated_count": 500}))
    assert [each["given_count"] for each in noted] == [2]
    assert turns.one("select since_id from pipeline.checkpoints") == (max(ids),)


def test_a_count_that_was_wrong_once_is_corrected(x: Any, turns: Any) -> None:
    """The second answer returns what the first one lacked, and nothing is noted."""
    ids = [id_at(datetime.now(UTC) - timedelta(minutes=each)) for each in (5, 6, 7)]
    short = page(*ids[:1])
    short["meta"]["result_count"] = 3
    x.routes[SEARCH] = [Answer(short), Answer(page(*ids))]
    turns.rule(query="coffee")
    turns.take()
    assert set(turns.sink.ids) == set(ids)
    assert turns.raw.api_requests.count_documents({"stated_count": {"$exists": True}}) == 0


def test_an_open_circuit_gives_the_rule_back(x: Any, turns: Any) -> None:
    """Three answers of unknown cost stop the requests; the rule is due at the time of the probe."""
    x.routes[SEARCH] = [Answer({})]
    turns.rule(query="coffee")
    turns.budget_usd, turns.tries = Decimal(50), 3
    with pytest.raises(ExceptionGroup):
        turns.take()
    with pytest.raises(Exception, match="waits") as waits:
        turns.take()
    assert (type(waits.value), len(x.asked)) == (RuleWaits, 3)
    (minutes,) = turns.one("select extract(epoch from next_due_at - now())::float / 60 from pipeline.rules")
    assert 14 < minutes <= 15


def test_a_refused_query_parks_its_rule(x: Any, turns: Any) -> None:
    """X's refusal of the query is final until somebody edits it; the run fails once."""
    x.routes[SEARCH] = [Answer({"title": "Invalid Request", "detail": "no such operator: fro:"}, 400)]
    turns.rule(query="fro:anna")
    with pytest.raises(Exception, match="parked") as parked:
        turns.take()
    assert isinstance(parked.value, RuleParked)
    (reason,) = turns.one("select parked_reason from pipeline.rules")
    assert "no such operator" in reason


def test_a_rule_disabled_during_a_poll_sends_no_more_requests(x: Any, turns: Any) -> None:
    """Between two pages of a poll: the next request is not sent, and what arrived is kept."""
    newest = id_at(datetime.now(UTC) - timedelta(minutes=5))

    def disabling(asked: Asked) -> Answer:
        turns.connection.execute("update pipeline.rules set is_enabled = false")
        return Answer(page(newest, token="more"))

    x.routes[SEARCH] = disabling
    turns.rule(query="coffee")
    with pytest.raises(Exception, match="disabled") as stopped:
        turns.take()
    assert (type(stopped.value), len(x.asked), turns.sink.ids) == (RuleStopped, 1, [newest])
    assert turns.one("select poll_until_id from pipeline.checkpoints") == (newest,)


def test_a_page_too_large_is_requested_in_halves(x: Any, turns: Any) -> None:
    """An answer beyond the byte cap is requested again with fewer tweets."""
    now = datetime.now(UTC)
    ids = [id_at(now - timedelta(minutes=each)) for each in range(1, 41)]

    def heavy(asked: Asked) -> Answer:
        size = int(asked.params["max_results"])
        left = [each for each in ids if each < int(asked.params.get("until_id", 2**63))]
        left = left[int(asked.params.get("next_token", "0")) :]
        token = str(len(ids) - len(left) + size) if len(left) > size else None
        body = page(*left[:size], token=token)
        body["padding"] = "x" * (400_000 * size)
        return Answer(body)

    x.routes[SEARCH] = heavy
    turns.rule(query="coffee")
    turns.take()
    assert set(turns.sink.ids) == set(ids)
    assert [int(asked.params["max_results"]) for asked in x.asked[:2]] == [100, 50]
