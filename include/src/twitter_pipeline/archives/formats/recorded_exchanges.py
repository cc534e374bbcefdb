"""An answer together with its request and headers, as HTTP recorders keep it."""

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from twitter_pipeline.archives.json_bytes import as_object, decoded
from twitter_pipeline.archives.page import ArchivedPage
from twitter_pipeline.archives.retrieval_times import credible


def exchange(members: Mapping[str, bytes], page_of: Callable[[bytes], ArchivedPage]) -> ArchivedPage:
    """The answer, as read by `page_of`; the Date header is its retrieval time."""
    page = page_of(members["body"])
    date = as_object(decoded(members["headers"])).get("date")
    date = date[0] if isinstance(date, list) and date else date
    if page.observed_at is None and isinstance(date, str):
        try:
            parsed = parsedate_to_datetime(date)
        except ValueError:
            return page
        page.observed_at = credible(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    return page
