"""A program that runs drains in separate processes, each of which is stopped or killed at its n-th step.

A step is what the drain exchanges with a store: each round trip with PostgreSQL (BEGIN, every piece of a COPY and
COMMIT are some of them) and the start and the end of each command to MongoDB. The drain's code knows nothing of
it: a psycopg.Connection of ours and a listener of pymongo count, and send the signal right before the step.

Jobs are lines of JSON on standard input, answers are lines of JSON on standard output. A drain is forked from
this process, which has imported everything and started no thread, so that a thousand of them are affordable.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from twitter_pipeline.landing.drain import land
from twitter_pipeline.streaming.bad_record_breaker import BadRecordBreaker
from twitter_pipeline.streaming.linger import Linger
from twitter_pipeline.transform.drain import transform

BRIEF = Linger(stay_seconds=20, quiet_seconds=0.1)
DATA_COMMANDS = {"insert", "find", "update", "getMore"}


class Steps:
    """Counts steps and interrupts this process once: right before the first step of a kind from number `first` on."""

    def __init__(self, first: int, kind: str, strike: Callable[[str], None]) -> None:
        self._first, self._kind, self._strike = first, kind, strike
        self._struck = False
        self.taken = 0

    def step(self, what: str) -> None:
        self.taken += 1
        if not self._struck and self.taken >= self._first and what.endswith(self._kind):
            self._struck = True
            self._strike(f"step {self.taken}, {what}")


class CountingConnection(psycopg.Connection[Any]):
    """Counts every round trip: all of psycopg goes through `wait`."""

    steps: Steps

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        self.steps.step(f"before PostgreSQL {gen.__name__}")
        return super().wait(gen, *args, **kwargs)


class CountingListener(CommandListener):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def started(self, event: Any) -> None:
        if event.command_name in DATA_COMMANDS:
            self._steps.step(f"before MongoDB {event.command_name}")

    def succeeded(self, event: Any) -> None:
        if event.command_name in DATA_COMMANDS:
            self._steps.step(f"after MongoDB {event.command_name}")

    def failed(self, event: Any) -> None: ...


def drain(job: dict[str, Any], steps: Steps) -> int:
    """Run the drain of a job; returns how many records it read."""
    CountingConnection.steps = steps
    with (
        CountingConnection.connect(job["dsn"], autocommit=True) as warehouse,
        MongoClient[Any](
            job["mongo_uri"], event_listeners=[CountingListener(steps)], serverSelectionTimeoutMS=5000
        ) as client,
    ):
        raw, breaker = client[job["mongo_name"]], BadRecordBreaker(job["stage"], ratio=1.0)
        if job["stage"] == "land":
            return land(
                job["kafka"], raw, warehouse, topic=job["topic"], linger=BRIEF, breaker=breaker,
                batch_size=job["batch_size"],
            ).read  # fmt: skip
        return transform(
            raw, warehouse, topic=job["topic"], linger=BRIEF, breaker=breaker, batch_size=job["batch_size"]
        ).read


def _child(job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    def strike(what: str) -> None:
        tell({"struck": what})
        signal.pthread_kill(threading.get_ident(), signal.Signals[job["signal"]])

    steps = Steps(job["first"], job["kind"], strike)
    try:
        read = drain(job, steps)
        steps.step("at the end")
        tell({"error": None, "read": read, "steps": steps.taken})
    except Exception as error:  # noqa: BLE001 - the test wants to know about any error
        kinds = [kind.__name__ for kind in type(error).__mro__]
        tell({"error": type(error).__name__, "kinds": kinds, "text": str(error)[:300]})


def _fork(job: dict[str, Any]) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        _child(job, lambda said: (os.write(writing, json.dumps(said).encode() + b"\n"), None)[1])
        os._exit(0)
    os.close(writing)
    return pid, reading


def _said(reading: int) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for line in os.read(reading, 65_536).splitlines():
        said |= json.loads(line)
    return said


def main() -> None:
    answer = partial(print, flush=True, file=os.fdopen(os.dup(1), "w"))
    for line in sys.stdin:
        pid, reading = _fork(json.loads(line))
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            answer(json.dumps({"state": "stopped", **_said(reading)}))
            going_on = sys.stdin.readline()
            os.kill(pid, signal.SIGCONT if going_on else signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        state = "killed" if os.WIFSIGNALED(status) else "ended"
        answer(json.dumps({"state": state, **_said(reading)}))
        os.close(reading)


if __name__ == "__main__":
    main()
