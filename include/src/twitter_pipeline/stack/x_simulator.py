"""The X API simulator as a server of the stack: started as a command, never imported."""

import sys
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from twitter_pipeline.stack.private_files import private_folder
from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK


@dataclass(frozen=True)
class XApiSimulator:
    """One simulator: seed and epoch determine its world, and the journal keeps changes made to it."""

    port: int
    epoch: datetime
    journal: Path
    seed: int = 7
    tweets_per_second: str = "2.0"
    name: str = "simulator"

    def prepare(self) -> None:
        private_folder(self.journal.parent)

    def command(self) -> list[str]:
        program = Path(sys.executable).parent / "x-api-simulator"
        words = [sys.executable, str(program), "--host", LOOPBACK, "--port", str(self.port)]
        words += ["--seed", str(self.seed), "--rate", self.tweets_per_second]
        return [*words, "--epoch", self.epoch.isoformat(), "--journal", str(self.journal)]

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_control/health", timeout=ASK_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False
