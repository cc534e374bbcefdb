"""SNS, spoken by the moto server. Its state is in memory only: topics are made anew after each start."""

import re
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from twitter_pipeline.stack.servers import ASK_SECONDS, LOOPBACK

REGION = "us-east-1"
# moto tells services apart by the scope of the signature and checks none; these are no secrets
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
        """Nothing is kept, so nothing is laid out."""

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
            return "ListTopicsResponse" in _ask(self.url, Action="ListTopics")
        except OSError:
            return False


def create_topic(url: str, name: str) -> str:
    """Create the topic in moto, or find it; returns its arn. Raises OSError when moto does not answer."""
    arn = re.search(r"<TopicArn>(.+?)</TopicArn>", _ask(url, Action="CreateTopic", Name=name))
    if arn is None:
        raise OSError(f"the server at {url} did not answer CreateTopic as SNS does")
    return arn[1]


def _ask(url: str, **parameters: str) -> str:
    scope = f"Credential=embedded/20260101/{REGION}/sns/aws4_request"
    request = urllib.request.Request(  # noqa: S310 - the stack's own server, http to loopback
        url,
        data=urllib.parse.urlencode(parameters | {"Version": "2010-03-31"}).encode(),
        headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"},
    )
    with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:  # noqa: S310
        return str(answer.read().decode())
