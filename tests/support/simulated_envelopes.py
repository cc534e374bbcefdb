"""Many envelopes of tweets that the simulator made."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import msgspec

from airflow_provider_twitter.client import XClient
from airflow_provider_twitter.envelopes import messages_of

FIRST_MADE_ID = 1_700_000_000_000_000_000


def envelopes(stack: Any) -> Iterator[bytes]:
    """Envelopes of simulated tweets, over and over, each with an id of its own."""
    given = stack.settings
    pages: list[dict[str, Any]] = []
    with XClient(given.x_bearer_token, base_url=given.x_api_url, allow_local=True) as client:
        token = None
        while len(pages) < 1000:
            page = client.search_recent(
                "coffee OR climate OR football OR the", max_results=100, next_token=token
            )
            pages += [msgspec.json.decode(m.value) for m in messages_of(page, rule=None, source="search")]
            if (token := page.next_token) is None:
                break
    for number, envelope in enumerate(cycle([p for p in pages if p["kind"] == "tweet"])):
        envelope["tweet"]["id"] = str(FIRST_MADE_ID + number)
        yield msgspec.json.encode(envelope)
