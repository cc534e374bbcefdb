"""Faults on demand, as a client sees them."""

import time
from typing import Any

import httpx
import pytest

RECENT = "/2/tweets/search/recent"


@pytest.fixture
def simulator(start: Any) -> Any:
    return start()


def test_a_status_is_given_as_often_as_asked_for(simulator: Any) -> None:
    """After `skip` good answers come `times` bad ones, then good ones again; other paths are unaffected."""
    simulator.control("faults", {"path": RECENT, "status": 503, "times": 2, "skip": 1})
    statuses = [simulator.get(RECENT, query="coffee").status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    simulator.control("faults", {"path": RECENT, "status": 503})
    assert simulator.get("/2/users/by", usernames="Mada").status_code == 200


def test_bodies_that_are_no_json(simulator: Any) -> None:
    """A 503 with HTML, and a 200 that is not JSON either."""
    simulator.control("faults", [{"status": 503}, {"body": "{broken", "content_type": "application/json"}])
    first, second = (simulator.get(RECENT, query="coffee") for _ in range(2))
    assert (first.status_code, first.headers["content-type"]) == (503, "text/html")
    assert (second.status_code, second.text) == (200, "{broken")


def test_headers_can_be_absurd_or_missing(simulator: Any) -> None:
    """A 429 without a reset, or with one in the past."""
    headers = {"x-rate-limit-reset": None, "Retry-After": "-5"}
    simulator.control("faults", {"status": 429, "headers": headers})
    answer = simulator.get(RECENT, query="coffee")
    assert answer.status_code == 429
    assert "x-rate-limit-reset" not in answer.headers
    assert answer.headers["retry-after"] == "-5"


def test_a_body_is_cut_in_its_middle(simulator: Any) -> None:
    """The connection breaks before the announced length has been sent."""
    simulator.control("faults", {"cut_after_bytes": 100})
    with pytest.raises(httpx.RemoteProtocolError):
        simulator.get(RECENT, query="coffee")
    assert simulator.get(RECENT, query="coffee").status_code == 200


def test_delay_and_drip_take_their_time(simulator: Any) -> None:
    """A delay before the answer; a slow loris between its bytes."""
    for fault in ({"delay_seconds": 0.3}, {"drip_seconds": 0.1, "drip_bytes": 5_000, "body": "x" * 30_000}):
        simulator.control("faults", fault)
        started = time.perf_counter()
        simulator.get(RECENT, query="coffee")
        assert time.perf_counter() - started >= 0.29


def test_redirects_lead_elsewhere(simulator: Any) -> None:
    """Status 302 with a location."""
    simulator.control("faults", {"location": "http://169.254.0.1/"})
    answer = simulator.get(RECENT, query="coffee")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.0.1/")


def test_a_gzip_bomb_is_small_on_the_wire(simulator: Any) -> None:
    """Ten megabytes of zeros arrive as some kilobytes."""
    simulator.control("faults", {"gzip_bomb_bytes": 10_000_000})
    answer = simulator.get(RECENT, query="coffee")
    assert int(answer.headers["content-length"]) < 20_000
    assert len(answer.content) == 10_000_000


def test_ignored_parameters_have_no_effect(simulator: Any) -> None:
    """A server that ignores since_id gives the old tweets again."""
    newest = simulator.truth(query="the")["ids"][-1]
    assert simulator.search("the", since_id=newest)["meta"] == {"result_count": 0}
    simulator.control("faults", {"ignore": ["since_id"]})
    assert simulator.search("the", since_id=newest)["meta"]["newest_id"] == newest


def test_a_looping_token_repeats_the_first_page(simulator: Any) -> None:
    """Whatever token is sent, the same page comes back, and a token with it."""
    simulator.control("faults", {"repeat_page": True, "times": 3})
    first = simulator.search("the")
    second = simulator.search("the", next_token=first["meta"]["next_token"])
    third = simulator.search("the", next_token=second["meta"]["next_token"])
    assert first["data"] == second["data"] == third["data"]
    assert third["meta"]["next_token"]


def test_pages_can_be_out_of_order(simulator: Any) -> None:
    """The same tweets, not newest first."""
    sorted_ids = [tweet["id"] for tweet in simulator.search("the")["data"]]
    simulator.control("faults", {"unsorted": True})
    shuffled = [tweet["id"] for tweet in simulator.search("the")["data"]]
    assert shuffled != sorted_ids
    assert sorted(shuffled) == sorted(sorted_ids)


def test_faults_are_listed_and_cleared(simulator: Any) -> None:
    """Pending faults can be listed and cleared; a misspelled fault is refused."""
    simulator.control("faults", {"status": 500, "times": 9})
    assert simulator.ok("/_control/faults")["faults"][0]["times"] == 9
    assert simulator.http.delete("/_control/faults").json() == {"faults": []}
    assert simulator.get(RECENT, query="coffee").status_code == 200
    assert simulator.http.post("/_control/faults", json={"stauts": 500}).status_code == 400
