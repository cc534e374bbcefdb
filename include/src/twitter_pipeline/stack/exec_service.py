"""Starts one service: ends processes left over from its last run, then replaces itself with the service.

A killed scheduler leaves its workers behind, a killed api-server its children; two runs of one service must not overlap.
The supervisor starts every service through this module. Command and environment come from the launcher's file, which
only its owner may read, so that the supervisor's configuration contains no secret.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from twitter_pipeline.stack.leftover_processes import end_processes, marked_processes, marks
from twitter_pipeline.stack.log_files import write_to


def exec_service(launch_file: Path, name: str) -> None:
    """End the service's leftover processes, then replace this process with the service. Never returns."""
    launch = json.loads(launch_file.read_text())
    home = launch["home"]
    ours = {os.getpid(), os.getppid()}
    end_processes([process for process in marked_processes(home, name) if process.pid not in ours], seconds=0)
    with (launch_file.parent / f"{name}.starts").open("a") as starts:  # `status` counts restarts with it
        starts.write(f"{datetime.now(UTC).isoformat()}\n")
    service = launch["services"][name]
    write_to(Path(service["log"]))
    os.chdir(home)
    environment = os.environ | service["environment"] | marks(home, name)
    os.execvpe(service["command"][0], service["command"], environment)  # noqa: S606


if __name__ == "__main__":
    exec_service(Path(sys.argv[1]), sys.argv[2])
