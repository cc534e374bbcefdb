"""The operator for a turn: what a task of `tweet_extraction` does with a rule, and how it ends."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_twitter.client import Backoff, Pace, XClient
from support.turns import TOKEN
from support.x_server import Answer, id_at, page

SEARCH = "/2/tweets/search/recent"


@pytest.fixture
def take(turns: Any, airflow_connections: None) -> Any:
    """Take a turn of rule r as mapped task 3 of a run does, including the lease."""
    from pipeline_collect_rule import CollectRule

    def take() -> Any:
        client = XClient(
            TOKEN,
            base_url=turns.x.url,
            allow_local=True,
            backoff=Backoff(tries=1),
            pace=Pace(sleep=lambda seconds: None),
        )
        context: Any = {"run_id": "run", "ti": SimpleNamespace(map_index=3)}
        with client:
            return CollectRule(task_id="collect", topic="raw-tweets", rule="r").collect(
                context, client, turns.sink
            )

    return take


def test_a_task_reads_its_rule(x: Any, turns: Any, take: Any) -> None:
    """From the stores in Airflow's connections into the sink; the lease ends with the task."""
    made = id_at(datetime.now(UTC) - timedelta(minutes=5))
    x.routes[SEARCH] = [Answer(page(made))]
    turns.rule(query="coffee")
    done = take()
    assert (done.tweets, done.newest_id, turns.sink.ids) == (1, made, [made])
    look = "select leased_by, last_error, last_polled_at is not null from pipeline.rules"
    assert turns.one(look) == (None, None, True)
    assert turns.one("select since_id from pipeline.checkpoints where subject = 'search coffee'") == (made,)


@pytest.mark.parametrize(
    ("answer", "end", "error"),
    [
        (Answer(b"", 429, {"retry-after": "60"}), AirflowSkipException, None),
        (Answer({"title": "Invalid Request"}, 400), AirflowFailException, "RuleParked"),
        (Answer({"title": "Unauthorized"}, 401), AirflowFailException, "CredentialsRefused"),
        (Answer({"title": "CreditsDepleted"}, 402), AirflowFailException, "SpendingStopped"),
        (Answer({"title": "Service Unavailable"}, 503), ExceptionGroup, "TryAgain"),
    ],
)
def test_a_task_ends_by_what_x_said(
    x: Any, turns: Any, take: Any, answer: Answer, end: type[Exception], error: str | None
) -> None:
    """Skipped for a limit, failed for good if no retry helps, otherwise retried; the rule says why."""
    x.routes[SEARCH] = [answer]
    turns.rule(query="coffee")
    with pytest.raises(end):
        take()
    (told,) = turns.one("select last_error from pipeline.rules")
    assert told is None if error is None else error in told


def test_a_rule_that_another_run_polls_is_left_to_it(turns: Any, take: Any) -> None:
    """The task is skipped; a task whose run leased the rule to it begins."""
    turns.rule(query="coffee", leased_by="another/0", leased_until=datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(AirflowSkipException, match="polled by another run"):
        take()
    turns.connection.execute("update pipeline.rules set leased_by = 'run/3'")
    turns.x.routes[SEARCH] = [Answer(page())]
    assert take().tweets == 0
