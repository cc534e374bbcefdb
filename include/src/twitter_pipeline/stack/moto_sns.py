"""SNS, provided by the moto server. Its state is only in memory, so topics are created again after each start."""

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from twitter_pipeline.deployment.alert_topics import REGION, sns_client
from twitter_pipeline.stack.servers import LOOPBACK

# moto tells services apart by the signature's scope and checks no signature; these are not secrets
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "embedded",
    "AWS_SECRET_ACCESS_KEY": "embedded",
    "AWS_DEFAULT_REGION": REGION,
}


@dataclass(frozen=True)
class MotoSns:
    """One moto server."""

    port: int
    name: str = "sns"

    def prepare(self) -> None:
        """Do nothing: it keeps no data."""

    def command(self) -> list[str]:
        program = Path(sys.executable).parent / "moto_server"
        return [sys.executable, str(program), "-H", LOOPBACK, "-p", str(self.port)]

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ready(self) -> bool:
        try:
            client(self.url).list_topics()
        except (BotoCoreError, ClientError):
            return False
        return True


@cache  # creating one takes a tenth of a second, and the launcher asks five times a second
def client(url: str) -> Any:
    """A client for the moto server at `url`, with credentials that it accepts."""
    return sns_client(
        url,
        {
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            "region_name": REGION,
        },
        attempts=1,
    )
