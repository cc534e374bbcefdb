"""Pages as the client gives them, of bodies that a test writes."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_twitter.client import Page, Requested
from airflow_provider_twitter.client.pages import parse_body

OBSERVED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def page_of(
    body: bytes | Mapping[str, Any],
    requested: Requested | None = None,
    endpoint: str = "/2/tweets/search/recent",
) -> Page:
    """The page that an answer with this body is, of the request r1, observed at OBSERVED_AT and free of charge."""
    parts = parse_body(body if isinstance(body, bytes) else json.dumps(body).encode())
    return Page(
        endpoint=endpoint,
        params={},
        requested=requested,
        status=200,
        request_id="r1",
        observed_at=OBSERVED_AT,
        rate_limit=None,
        cost_usd=Decimal(0),
        data=parts.data,
        includes=parts.includes,
        errors=parts.errors,
        meta=parts.meta,
    )
