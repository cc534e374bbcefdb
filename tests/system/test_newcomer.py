"""What a newcomer sees: one command, and tweets of every rule arrive in PostgreSQL, all of them, once."""

import os
import signal

import pytest

from support.stacks import Stack, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(3000)]


def test_up_collects_every_tweet_once_through_airflow_and_survives_kills(shared_stack: Stack) -> None:
    """The doorbell alone (no sweep) brings every rule to the ground truth, also after the broker and a drain's
    supervisor were killed; `status` tells counts, lag and freshness; `down` and `up` go on where it was."""
    stack = shared_stack
    stack.simulator("clock", {"frozen": False})
    wait_until(
        lambda: bool(stack.rows("select 1 from twitter.tweets limit 1")), 300, lambda: str(stack.status())
    )
    wiped = stack.rows("select distinct topic_id from pipeline.pages")
    os.kill(stack.pid("broker"), signal.SIGKILL)
    os.kill(stack.pid("scheduler"), signal.SIGKILL)
    wait_until(
        lambda: bool(
            set(stack.rows("select distinct topic_id from pipeline.cursors where stage = 'land'"))
            - set(wiped)
        ),
        420,
        lambda: str(stack.status()),
    )
    stack.simulator("clock", {"frozen": True})
    stack.wait_for_truth(420)
    wait_until(lambda: stack.stages()["transform"]["lag"] == 0, 180, lambda: str(stack.stages()))
    picture = stack.status()
    assert stack.stages()["warehouse"]["count"] > 0
    assert picture["broker"]["kind"] == "tansu"
    assert {s["state"] for s in picture["services"]} == {"ready"}
    assert stack.secrets_in_logs() == []
    before = stack.rows("select count(*) from twitter.tweets")
    stack.run("down")
    stack.run("up")
    stack.simulator("clock", {"frozen": False})
    wait_until(
        lambda: stack.rows("select count(*) from twitter.tweets") > before, 300, lambda: str(stack.status())
    )
