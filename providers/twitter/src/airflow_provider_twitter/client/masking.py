"""Takes the bearer token out of words that came from outside: a gateway may repeat what it was sent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
LEAST_SECRET = 6  # a shorter token hides nothing, and its letters are in every other word
RECOGNISABLE = 12  # as much of the token's beginning is masked too: words are cut to a length

LOGGERS = (
    "requests",
    "urllib3",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)

_masking: ContextVar[Callable[[str], str] | None] = ContextVar("masking", default=None)


class TokenMask:
    """Replaces a token by *** in a text: as it is, url-encoded or decoded, escaped for JSON, in any case, cut."""

    def __init__(self, token: str) -> None:
        forms = {str(token), unquote(token), quote(token, safe=""), quote_plus(quote(token, safe=""))}
        forms |= {form.replace("/", "\\/") for form in forms}
        known = sorted((form for form in forms if len(form) >= LEAST_SECRET), key=len, reverse=True)
        parts = [re.escape(form) for form in known]
        parts += [
            re.escape(form[:RECOGNISABLE]) + r"[\w%+/\\=.~-]*" for form in known if len(form) > RECOGNISABLE
        ]
        self._pattern = re.compile("|".join(parts), re.IGNORECASE) if parts else None

    def __call__(self, text: str) -> str:
        """The text without the token."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def __repr__(self) -> str:
        return "<TokenMask>"


@contextmanager
def masked_logs(masked: Callable[[str], str]) -> Iterator[None]:
    """What the HTTP libraries log in this context goes through `masked` first."""
    token = _masking.set(masked)
    try:
        yield
    finally:
        _masking.reset(token)


class _MaskedRecords(logging.Filter):
    """Masks what the HTTP libraries log during an exchange; headers that they cannot parse stand in it whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the token."""
        if (masked := _masking.get()) is not None:
            record.msg, record.args = masked(record.getMessage()), ()
            if record.exc_info:
                record.msg = f"{record.msg} ({masked(repr(record.exc_info[1]))})"
                record.exc_info = record.exc_text = None
        return True


def mask_logs_of_the_http_libraries() -> None:
    """Filter their loggers, once however often it is called."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _MaskedRecords) for each in logger.filters):
            logger.addFilter(_MaskedRecords())
