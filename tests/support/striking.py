"""Drains in processes of their own, to be stopped or killed at a step of their work."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import TESTS
from support.way import Way


class StrikableDrains:
    """Runs drains in processes of their own, one at a time; see strikable_drains.py."""

    def __init__(self, log: Path) -> None:
        program = [sys.executable, "-m", "support.strikable_drains"]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                program,
                cwd=TESTS,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def run(self, way: Way, stage: str, first: int, signal: str, kind: str = "") -> dict[str, Any]:
        """Start a drain to be struck at the first step of a kind (default: any) from number `first` on.

        Returns when it is stopped, was killed, or ended.
        """
        job = {"stage": stage, "first": first, "kind": kind, "signal": signal, "batch_size": 500}
        stores = {
            "kafka": way.kafka,
            "topic": way.topic,
            "dsn": way.dsn,
            "mongo_uri": way.mongo_uri,
            "mongo_name": way.raw.name,
        }
        return self._ask(job | stores)

    def go_on(self) -> dict[str, Any]:
        """Let a stopped drain go on; returns when it ended."""
        return self._ask({})

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the program, which ends a drain that is still stopped."""
        self._process.communicate(timeout=20)
