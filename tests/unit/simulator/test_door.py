"""What every request passes: authentication, rate limits, and the list of requests."""

from typing import Any

RECENT = "/2/tweets/search/recent"


def test_without_a_token_or_with_a_wrong_one_it_is_401(simulator: Any) -> None:
    """The problem is about:blank, Unauthorized."""
    for header in ("", "Bearer", "Bearer invalid"):
        answer = simulator.http.get(RECENT, params={"query": "coffee"}, headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.json()["type"] == "about:blank"


def test_other_schemes_and_unenrolled_apps_are_403(simulator: Any) -> None:
    """unsupported-authentication and client-forbidden with its reason."""
    for header, kind in (
        ("Basic abc", "unsupported-authentication"),
        ("Bearer forbidden", "client-forbidden"),
    ):
        answer = simulator.http.get(RECENT, params={"query": "coffee"}, headers={"authorization": header})
        assert answer.status_code == 403
        assert answer.json()["type"].endswith(f"/{kind}")
    assert answer.json()["reason"] == "client-not-enrolled"


def test_with_tokens_given_only_those_are_accepted(start: Any) -> None:
    """--token excludes every other token."""
    simulator = start(tokens=["open-sesame"])
    assert simulator.get(RECENT, query="coffee").status_code == 401
    good = simulator.http.get(RECENT, params={"query": "a"}, headers={"authorization": "Bearer open-sesame"})
    assert good.status_code == 200


def test_rate_limits_are_counted_per_endpoint_and_token(start: Any) -> None:
    """The headers count down; the request over the limit is 429 with the time of the reset; others go on."""
    simulator = start()
    simulator.control("limits", {"endpoint": "search_recent", "limit": 2, "window_seconds": 900})
    answers = [simulator.get(RECENT, query="coffee") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-rate-limit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["x-rate-limit-limit"] for answer in answers} == {"2"}
    assert len({answer.headers["x-rate-limit-reset"] for answer in answers}) == 1
    assert answers[2].json()["title"] == "Too Many Requests"
    assert simulator.get("/2/users/by", usernames="Mada").status_code == 200
    other = simulator.http.get(RECENT, params={"query": "coffee"}, headers={"authorization": "Bearer other"})
    assert other.status_code == 200


def test_the_limits_of_x_hold_from_the_start(start: Any) -> None:
    """450 searches, 10,000 timelines, 300 users, 3,500 tweets, 300 counts, 50 usages per app (x-api-v2.md §2)."""
    simulator = start()
    user = simulator.world.most_active[0]
    asked = {
        f"{RECENT}?query=a": "450",
        f"/2/users/{user.id}/tweets": "10000",
        f"/2/users/by?usernames={user.username}": "300",
        "/2/tweets?ids=1": "3500",
        "/2/tweets/counts/recent?query=a": "300",
        "/2/usage/tweets": "50",
    }
    limits = {path: simulator.http.get(path).headers["x-rate-limit-limit"] for path in asked}
    assert limits == asked


def test_requests_are_listed_without_their_token(start: Any) -> None:
    """Method, path, parameters, status and time; the token appears nowhere."""
    simulator = start(tokens=["s3cret-token"])
    simulator.http.headers["authorization"] = "Bearer s3cret-token"
    simulator.search("coffee", max_results=10)
    simulator.get(RECENT, colour="red")
    listed = simulator.ok("/_control/requests")["requests"]
    assert [(one["path"], one["status"]) for one in listed] == [(RECENT, 200), (RECENT, 400)]
    assert listed[0]["params"] == {"query": "coffee", "max_results": "10"}
    assert "s3cret" not in simulator.http.get("/_control/requests").text


def test_unknown_paths_are_404(simulator: Any) -> None:
    """As JSON, like everything else."""
    assert simulator.get("/2/nothing/here").status_code == 404
