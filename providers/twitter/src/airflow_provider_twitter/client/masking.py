"""Removes secrets from text that came from outside: a gateway may echo what it was sent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
LEAST_SECRET = 6  # a shorter secret protects nothing, and its letters occur in ordinary words
RECOGNISABLE = 12  # this much of a secret's beginning is masked too, since messages are truncated

LOGGERS = (
    "requests",
    "urllib3",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)
OAUTH_LIBRARIES = ("oauthlib", "requests_oauthlib", "tweepy")

_masking: ContextVar[Callable[[str], str] | None] = ContextVar("masking", default=None)


class Masked(str):
    """A string that shows only on the wire, not even in tracebacks that print locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class TokenMask:
    """Replaces secrets in a text with ***: verbatim, URL-encoded or decoded, JSON-escaped, in any case, truncated."""

    def __init__(self, *secrets: str) -> None:
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these as well from now on; earlier secrets stay masked."""
        forms = {form for secret in secrets for form in _forms(str(secret)) if len(form) >= LEAST_SECRET}
        if forms <= self._known:
            return
        self._known |= forms
        known = sorted(self._known, key=len, reverse=True)
        parts = [re.escape(form) for form in known]
        parts += [
            re.escape(form[:RECOGNISABLE]) + r"[\w%+/\\=.~-]*" for form in known if len(form) > RECOGNISABLE
        ]
        self._pattern = re.compile("|".join(parts), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def __repr__(self) -> str:
        return "<TokenMask>"


def _forms(secret: str) -> set[str]:
    forms = {secret, unquote(secret), quote(secret, safe=""), quote_plus(quote(secret, safe=""))}
    return forms | {form.replace("/", "\\/") for form in forms}


@contextmanager
def masked_logs(masked: Callable[[str], str]) -> Iterator[None]:
    """Pass whatever the HTTP libraries log in this context through `masked` first."""
    token = _masking.set(masked)
    try:
        yield
    finally:
        _masking.reset(token)


class _MaskedRecords(logging.Filter):
    """Masks what the HTTP libraries log during an exchange; they log headers that they cannot parse in full."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the secrets."""
        if (masked := _masking.get()) is not None:
            record.msg, record.args = masked(record.getMessage()), ()
            if record.exc_info:
                record.msg = f"{record.msg} ({masked(repr(record.exc_info[1]))})"
                record.exc_info = record.exc_text = None
        return True


def mask_logs_of_the_http_libraries() -> None:
    """Add a filter to their loggers; calling it again changes nothing."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, _MaskedRecords) for each in logger.filters):
            logger.addFilter(_MaskedRecords())


class _NoRecords(logging.Filter):
    """Drops what the OAuth libraries log during an exchange: at debug level, they log the tokens they receive."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass records that have nothing to do with our exchanges."""
        return _masking.get() is None


def silence_logs_of_the_oauth_libraries() -> None:
    """Add a filter to every logger that they created. Call it after importing them; again changes nothing."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split(".")[0] in OAUTH_LIBRARIES and not any(
            isinstance(f, _NoRecords) for f in logger.filters
        ):
            logger.addFilter(_NoRecords())
