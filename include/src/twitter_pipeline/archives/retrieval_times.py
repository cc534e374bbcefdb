"""When X returned what an archive holds, as far as the archive says."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tweet_envelope.instants import UNKNOWN_TIME, read_time
from twitter_pipeline.archives.json_bytes import as_object


def retrieved_at(holder: Mapping[str, Any]) -> datetime | None:
    """When X returned it, as recorded by twarc or by a browser extension (milliseconds)."""
    if isinstance(stated := as_object(holder.get("__twarc")).get("retrieved_at"), str):
        return credible(read_time(stated))
    stated = as_object(holder.get("__import_meta")).get("timestamp_collected")
    if isinstance(stated, int) and not isinstance(stated, bool):
        try:
            return credible(UNKNOWN_TIME + timedelta(milliseconds=stated))
        except OverflowError:
            return None
    return None


def credible(instant: datetime | None) -> datetime | None:
    """The instant, or None (unknown) if it is in the future, since that would outrank every true observation."""
    return None if instant is None or instant > datetime.now(UTC) else instant.astimezone(UTC)
