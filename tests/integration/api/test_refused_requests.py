"""Bad requests get a clear answer that names the parameter; without the right token nothing is answered."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.routing import APIRoute

from support.api import TOKEN, Api, given, served
from support.loading import tweet_id
from twitter_pipeline.api.app import create_app
from twitter_pipeline.api.command import requires_token
from twitter_pipeline.stack.servers import wait_until

TWEETS = "/api/v1/tweets"


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        (TWEETS, "limit=0", "limit"),
        (TWEETS, "limit=-1", "limit"),
        (TWEETS, "limit=1000000000", "limit"),
        (TWEETS, "limit=abc", "limit"),
        (TWEETS, "limit=%D9%A3", "limit"),
        (TWEETS, "limit=1&limit=2", "limit"),
        (TWEETS, "offset=5", "offset"),
        (TWEETS, "words=%00", "words"),
        (TWEETS, "words=", "words"),
        (TWEETS, "words=" + "a" * 600, "words"),
        (TWEETS, "author=%27%20OR%201%3D1--", "author"),
        (TWEETS, "rule=%3BDROP", "rule"),
        (TWEETS, "hashtag=%23", "hashtag"),
        (TWEETS, "since=yesterday", "since"),
        (TWEETS, "since=2026-01-01T00:00:00", "since"),
        (TWEETS, "since=0001-01-01T00:00:00%2B14:00", "since"),
        (TWEETS, "since=2026-02-01&until=2026-01-01", "query"),
        (TWEETS, "since=2005-12-31T23:59:59Z", "since"),
        (TWEETS, "until=9999-12-31", "until"),
        (TWEETS, "until=infinity", "until"),
        (TWEETS, "since=2006-01-01T00:00:00%2B00:01", "since"),
        (TWEETS, "author=" + "a" * 51, "author"),
        (TWEETS, "words=%20%E3%80%80", "words"),
        ("/api/v1/counts", "until=0001-01-01", "until"),
        ("/api/v1/counts", "since=9999-12-31", "since"),
        ("/api/v1/counts", "since=0001-01-01", "since"),
        ("/api/v1/hashtags", "until=10000-01-01", "until"),
        ("/api/v1/hashtags", "since=9999-12-31", "since"),
        ("/api/v1/counts", "granularity=second", "granularity"),
        ("/api/v1/pipeline", "x=1", "x"),
        (f"{TWEETS}/1", "x=1", "x"),
        (f"{TWEETS}/9223372036854775808", "", "id"),
        (f"{TWEETS}/00", "", "id"),
        (f"{TWEETS}/1_0", "", "id"),
        ("/api/v1/users/-5", "", "id"),
    ],
)
def test_an_unusable_parameter_is_named(api: Api, path: str, query: str, parameter: str):
    """422 as problem+json, before anything is asked of PostgreSQL; what was sent is not repeated."""
    answer = api.get(f"{path}?{query}")
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [e["parameter"] for e in problem["errors"]] == [parameter]
    assert problem["status"] == 422


@pytest.mark.parametrize(
    ("path", "hours"), [("/api/v1/tweets", 0), ("/api/v1/tweets", 23), ("/api/v1/counts", 23)]
)
def test_a_window_may_reach_a_day_ahead_and_no_further(api: Api, path: str, hours: int):
    """Clocks differ by a little; a window more than a day ahead is a mistake and would give an endless series of hours."""
    ahead = datetime.now(UTC) + timedelta(hours=hours)
    assert api.get(path, params={"until": ahead.isoformat()}).status_code == 200
    beyond = api.get(path, params={"until": (ahead + timedelta(hours=25)).isoformat()})
    assert [e["parameter"] for e in beyond.json()["errors"]] == ["until"]


def test_windows_are_bounded(api: Api):
    """Twenty years of hours are not counted."""
    answer = api.get("/api/v1/counts?since=2006-01-01&until=2026-01-01")
    assert answer.status_code == 422
    assert "92 days" in answer.json()["detail"]


@pytest.mark.parametrize(
    "cursor", ["garbage", "5", "5.zzzzzzzz", "9223372036854775808.00000000", f"{tweet_id(5)}.00000000"]
)
def test_a_forged_cursor_is_refused(api: Api, cursor: str):
    """400, and no error of the database."""
    assert api.get(TWEETS, params={"cursor": cursor}).status_code == 400


def test_a_cursor_belongs_to_its_filters(api: Api):
    """A cursor works with another limit, but not with another filter."""
    cursor = api.data(TWEETS, limit=5, hashtag="coffee")["meta"]["next_cursor"]
    assert api.ids(limit=2, hashtag="#COFFEE", cursor=cursor) == [49, 47]
    answer = api.get(TWEETS, params={"cursor": cursor, "hashtag": "tea"})
    assert answer.status_code == 400
    assert "other filters" in answer.json()["detail"]


def every_path(app: Any) -> list[str]:
    return [
        route.path.replace("{id}", str(tweet_id(1))) for route in app.routes if isinstance(route, APIRoute)
    ]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """This covers every route of the app; nothing else is mounted in it."""
    app = create_app(
        given(tmp_path_factory.mktemp("routes"), "postgresql://127.0.0.1:1/none"),
        authenticate=requires_token(TOKEN),
        airflow_url="",
    )
    assert all(isinstance(route, APIRoute) for route in app.routes)
    assert len(app.routes) >= 11
    return every_path(app)


def test_no_route_answers_without_the_token(api: Api, paths: list[str]):
    """The page and the OpenAPI document are no exception; a token in the address is ignored."""
    for path in paths:
        for token in (None, "", "wrong", TOKEN + "x"):
            answer = api.get(path, token=token)
            assert (path, token, answer.status_code) == (path, token, 401)
            assert answer.headers["content-type"] == "application/problem+json"
        assert api.get(f"{path}?token={TOKEN}&access_token={TOKEN}", token=None).status_code == 401


def test_every_route_answers_with_the_token(api: Api, paths: list[str]):
    """By bearer, and as the password of a browser's dialog."""
    for path in paths:
        # the settings of these tests have no checkout, so no runbook
        missing = {("/api/v1/users/2000000000000000001", 404), ("/operations", 404)}
        assert (path, api.get(path).status_code) in {(path, 200), *missing}
        browser = api.get(path, token=None, auth=("anybody", TOKEN))
        assert browser.status_code in {200, 404}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_reading_is_possible(api: Api, method: str):
    """Only GET is answered."""
    import requests

    answer = requests.request(
        method, f"{api.url}{TWEETS}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10
    )
    assert answer.status_code in {401, 405}


def test_the_page_loads_nothing_from_elsewhere(api: Api):
    """Its content policy allows only its own files, and it references no other host."""
    page = api.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("/", "/page.css", "/page.js"):
        text = (
            api.get(name).text.replace("http://www.w3.org/2000/svg", "").replace("http://airflow.example", "")
        )
        assert "//" not in "".join(part for part in text.split("\n") if not part.strip().startswith("//"))


def test_the_openapi_document_has_an_example_for_every_route(api: Api):
    """And every route of the API is in it."""
    document = api.data("/api/v1/openapi.json")
    assert set(document["paths"]) == {
        f"/api/v1/{path}"
        for path in ("tweets", "tweets/{id}", "users", "users/{id}", "hashtags", "counts", "pipeline")
    }
    for path in document["paths"].values():
        assert path["get"]["responses"]["200"]["content"]["application/json"]["example"]


def test_the_role_of_the_api_cannot_write(module_postgres: Any):
    """pipeline_reader has no right to write, whatever the session says."""
    with psycopg.connect(module_postgres.reader_dsn, autocommit=True) as reader:
        reader.execute("set default_transaction_read_only = off")
        for statement in ("insert into twitter.hashtags values ('x', 'x')", "delete from twitter.tweets"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_a_database_that_is_away_is_503_with_a_time_to_try_again(tmp_path: Path):
    """And nothing of its address or password is in the answer."""
    with served(tmp_path, "postgresql://pipeline_reader:canary@127.0.0.1:1/none") as api:
        answer = api.get(TWEETS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "canary" not in answer.text


def test_a_backend_that_is_ended_in_mid_request_is_503_and_the_pool_heals(api: Api, module_postgres: Any):
    """As when PostgreSQL restarts."""
    with psycopg.connect(module_postgres.superuser_dsn) as rival, ThreadPoolExecutor(1) as pool:
        rival.execute("lock table twitter.tweets in access exclusive mode")
        waiting = pool.submit(api.get, TWEETS)
        ended = "select pg_terminate_backend(pid) from pg_locks where not granted and relation = 'twitter.tweets'::regclass"
        wait_until(lambda: bool(rival.execute(ended).fetchall()), 5, "a request that waits for the table")
        assert waiting.result().status_code == 503
        rival.rollback()
    assert api.get(TWEETS).status_code == 200


def test_the_state_of_an_empty_database_says_so(postgres_server: Any, tmp_path: Path):
    """Before the tables are made, the pipeline's state is an answer and lists are 503."""
    with served(tmp_path, postgres_server.superuser_dsn()) as empty:
        assert empty.get(TWEETS).status_code == 503
        stages = empty.data("/api/v1/pipeline")["stages"]
    assert {stage["answers"] for stage in stages} == {False}
