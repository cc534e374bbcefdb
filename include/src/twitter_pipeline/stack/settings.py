"""The settings that only the launcher reads, in addition to those of the domain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from twitter_pipeline.settings import Settings, setting, whole

Heartbeat = Annotated[int, whole(10, 3600)]


class LauncherSettings(Settings):
    """The domain's settings, and how the embedded stack is run. Created by `load`."""

    simulator_seed: Annotated[int, whole(0, 2**31)] = setting("PIPELINE_SIMULATOR_SEED", 7)
    simulator_rate: str = setting("PIPELINE_SIMULATOR_RATE", "2.0")
    stalled_seconds: Annotated[int, whole(10, 86400)] = setting("PIPELINE_STALLED_SECONDS", 600)
    task_heartbeat_seconds: Heartbeat = setting("PIPELINE_TASK_HEARTBEAT_SECONDS", 60)
    process_heartbeat_seconds: Heartbeat = setting("PIPELINE_PROCESS_HEARTBEAT_SECONDS", 45)
    executor_watch_seconds: Heartbeat = setting("PIPELINE_EXECUTOR_WATCH_SECONDS", 90)


def load(
    environment: Mapping[str, str] | None = None, *, launched: bool = True, root: Path | None = None
) -> LauncherSettings:
    """The launcher's settings, which include the domain's: see `Settings.load`."""
    return LauncherSettings.load(environment, launched=launched, root=root)
