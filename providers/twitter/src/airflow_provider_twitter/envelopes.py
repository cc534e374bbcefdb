"""X's answers as Kafka messages."""

from __future__ import annotations

from airflow_provider_twitter import __version__
from airflow_provider_twitter.client.pages import Page
from tweet_envelope import writing
from tweet_envelope.schema import Provenance
from tweet_envelope.writing import Message, instant

COLLECTOR = f"airflow-provider-twitter/{__version__}"


def messages_of(page: Page, *, rule: str | None, source: str) -> list[Message]:
    """One message for each tweet of the page, in X's order, then what no tweet needed."""
    provenance = Provenance(
        rule=rule,
        source=source,
        endpoint=page.endpoint,
        request_id=page.request_id,
        observed_at=instant(page.observed_at),
        collector=COLLECTOR,
    )
    return [message for message, _ in writing.envelopes_of(page, provenance, requested=page.requested)]
