"""The soak tests, run by `make soak`: both brokers, every kill, growth, another emulator, each way to start alone."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from support.brokers import BROKERS
from support.emulator import Emulator, requests_in
from support.stacks import wait_until
from twitter_pipeline.stack.leftover_processes import marked_processes

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(1800)]

GROWTH_SECONDS = float(os.environ.get("SOAK_GROWTH_SECONDS", "600"))


def _arrived(stack: Any, more_than: int = 0) -> bool:
    ((count,),) = stack.rows("select count(*) from twitter.tweets where is_collected")
    return bool(count > more_than)


def _kill_running_tasks(stack: Any) -> None:
    """Everything that the scheduler started: the executor's workers and the tasks in them, including lingering drains."""
    scheduler = stack.pid("scheduler")
    for process in marked_processes(stack.environment["PIPELINE_HOME"], "scheduler"):
        if process.pid != scheduler:
            with contextlib.suppress(psutil.Error):
                process.kill()


@pytest.mark.parametrize("broker", BROKERS)
def test_every_process_may_be_killed_and_nothing_is_missing_or_twice(
    make_stack: Callable[..., Any], broker: str
) -> None:
    """kill -9 of each service in turn, including running drains, while the world grows; then the ground truth is reached."""
    with make_stack(PIPELINE_BROKER=broker) as stack:
        wait_until(lambda: _arrived(stack), 180, lambda: str(stack.status()))
        chance = random.Random(broker)
        services = [s["name"] for s in stack.status()["services"]]
        chance.shuffle(services)
        for service in services:
            os.kill(stack.pid(service), signal.SIGKILL)
            _kill_running_tasks(stack)
            wait_until(
                lambda: {s["state"] for s in stack.status()["services"]} == {"ready"},
                300,
                lambda service=service: f"after the kill of {service}: {stack.status()['services']}",  # type: ignore[misc]
            )
        stack.simulator("clock", {"frozen": True})
        stack.wait_for_truth(300)


@pytest.mark.parametrize("broker", BROKERS)
def test_growth_ends_in_the_truth(make_stack: Callable[..., Any], broker: str) -> None:
    """Minutes of continuous growth with doorbells and sweep; once it stops, every rule equals the ground truth."""
    with make_stack(PIPELINE_BROKER=broker) as stack:
        time.sleep(GROWTH_SECONDS)
        stack.simulator("clock", {"frozen": True})
        stack.wait_for_truth(240)


def test_the_sweep_alone_reaches_the_truth(make_stack: Callable[..., Any]) -> None:
    """Without doorbells the slow schedule collects everything, so that neither hides a fault of the other."""
    with make_stack(PIPELINE_DOORBELLS="false", PIPELINE_SWEEP_CRON="* * * * *") as stack:
        wait_until(lambda: _arrived(stack), 240, lambda: str(stack.status()))
        stack.simulator("clock", {"frozen": True})
        stack.wait_for_truth(300)


def test_another_emulator_is_collected_without_an_endless_loop(make_stack: Callable[..., Any]) -> None:
    """Small unsorted ids, since_id ignored, fields left out: each tweet once in PostgreSQL, raw keeps every
    observation, polls end, and the number of requests stays that of the schedule."""
    emulator = Emulator()
    rules = (
        'rules:\n  - {name: any, query: "tweet", interval_seconds: 10}\n'
        "  - {name: anna, accounts: [anna], interval_seconds: 10}\n"
    )
    with (
        emulator.serving() as url,
        make_stack(rules=rules, X_API_URL=url, X_API_ALLOW_LOCAL="true", X_BEARER_TOKEN="emulated") as stack,
    ):

        def collected() -> set[int]:
            return {i for (i,) in stack.rows("select id from twitter.tweets")}

        wait_until(lambda: collected() == emulator.ids, 240, lambda: f"missing {emulator.ids - collected()}")
        emulator.grow(40)
        wait_until(lambda: collected() == emulator.ids, 240, lambda: f"missing {emulator.ids - collected()}")
        pages = len(emulator.ids) // 10 + 3 + 2  # of the search, and of the timeline
        assert requests_in(emulator, 60) <= 7 * pages
        ((polls,),) = stack.rows(
            "select count(*) from pipeline.checkpoints where since_id is not null and poll_until_id is null"
        )
        assert polls == 2
        by_anna = "select count(*), count(distinct id) from twitter.tweets where author_id = 0"
        expected = sum(each % 10 == 7 for each in emulator.ids)
        assert stack.rows(by_anna) == [(expected, expected)]
        assert stack.rows("select last_error from pipeline.rules") == [(None,), (None,)]
        assert "emulated" not in stack.run("status", "--json").stdout


@pytest.mark.parametrize("broker", BROKERS)
def test_the_whole_stack_restarts_and_goes_on(make_stack: Callable[..., Any], broker: str) -> None:
    """`down` and `up` on both brokers: nothing is missing or duplicated; on Tansu the wiped broker is noticed and reported."""
    with make_stack(PIPELINE_BROKER=broker) as stack:
        wait_until(lambda: _arrived(stack), 180, lambda: str(stack.status()))
        stack.run("down")
        stack.run("up")
        ((before,),) = stack.rows("select count(*) from twitter.tweets where is_collected")
        wait_until(lambda: _arrived(stack, before), 180, lambda: str(stack.status()))
        assert bool(stack.status()["broker"]["wiped"]) == (broker == "tansu")
        stack.simulator("clock", {"frozen": True})
        stack.wait_for_truth(240)
