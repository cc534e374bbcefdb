"""A drain stopped or killed at any of its steps: its successor is not blocked, and nothing is lost or stored twice."""

from itertools import count

import pytest

from support.brokers import ON_TANSU
from support.oracle import Oracle
from support.striking import StrikableDrains
from support.way import Way, anew, drain_anew

A_FEW = {"land": 6, "transform": 29}  # every how many steps; `make soak` takes every step
EVERY = 1
LEAST_STEPS = {"land": 15, "transform": 40}


def owns_a_partition(way: Way, stage: str) -> bool:
    """Whether some drain took a partition of the stage since the reset."""
    return bool(way.rows("select from pipeline.cursors where stage = %s and epoch > 0", stage))


def next_run(way: Way, stage: str) -> None:
    """What follows a drain of the stage: its successor, and the later stages."""
    if stage == "land":
        drain_anew(way)
    else:
        with anew(way) as successor:
            successor.transform()


def frozen_at_steps(stage: str, stride: int, way: Way, oracle: Oracle, strikable: StrikableDrains) -> None:
    for number in count(1, stride):
        oracle.reset(landing=stage == "land")
        told = strikable.run(way, stage, number, "SIGSTOP")
        if told["state"] == "ended":
            assert told["error"] is None, told
            assert told["steps"] >= LEAST_STEPS[stage], f"void: only {told['steps']} steps"
            return
        when = told["struck"]
        owned, finished = owns_a_partition(way, stage), oracle.has_moved_all(stage)
        next_run(way, stage)
        oracle.holds(f"successor of a drain frozen at {when}")
        told = strikable.go_on()
        assert told["state"] == "ended", when
        overtaken = "Fenced" in told.get("kinds", ())
        assert overtaken if owned and not finished else overtaken or told["error"] is None, (when, told)
        oracle.holds(f"a drain frozen at {when} went on")


def killed_at_steps(stage: str, stride: int, way: Way, oracle: Oracle, strikable: StrikableDrains) -> None:
    for number in count(1, stride):
        oracle.reset(landing=stage == "land")
        told = strikable.run(way, stage, number, "SIGKILL")
        if told["state"] == "ended":
            assert told["error"] is None, told
            assert told["steps"] >= LEAST_STEPS[stage], f"void: only {told['steps']} steps"
            return
        next_run(way, stage)
        oracle.holds(f"replay after a kill at {told['struck']}")


@ON_TANSU
@pytest.mark.parametrize("stage", ["land", "transform"])
def test_a_drain_frozen_at_a_step_neither_blocks_its_successor_nor_writes_when_it_continues(
    stage: str, way: Way, oracle: Oracle, strikable: StrikableDrains
):
    """The successor terminates the frozen drain's backend; the superseded drain is fenced and leaves nothing."""
    frozen_at_steps(stage, A_FEW[stage], way, oracle, strikable)


@ON_TANSU
@pytest.mark.parametrize("stage", ["land", "transform"])
def test_the_work_of_a_drain_killed_at_a_step_is_completed_by_the_next_one(
    stage: str, way: Way, oracle: Oracle, strikable: StrikableDrains
):
    """Between insert and cursor, between cursor and published position, inside a COPY: the replay ends the same."""
    killed_at_steps(stage, A_FEW[stage], way, oracle, strikable)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_landing_frozen_at_every_step(way: Way, oracle: Oracle, strikable: StrikableDrains):
    """Every single step of landing, on each broker."""
    frozen_at_steps("land", EVERY, way, oracle, strikable)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_landing_killed_at_every_step(way: Way, oracle: Oracle, strikable: StrikableDrains):
    """Every single step of landing, on each broker."""
    killed_at_steps("land", EVERY, way, oracle, strikable)


@ON_TANSU
@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_transform_frozen_at_every_step(way: Way, oracle: Oracle, strikable: StrikableDrains):
    """Every single step of transform, which reads no broker."""
    frozen_at_steps("transform", EVERY, way, oracle, strikable)


@ON_TANSU
@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_transform_killed_at_every_step(way: Way, oracle: Oracle, strikable: StrikableDrains):
    """Every single step of transform, which reads no broker."""
    killed_at_steps("transform", EVERY, way, oracle, strikable)
