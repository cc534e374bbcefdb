"""Takes secrets out of words that came from outside: a gateway may repeat what it was sent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
LEAST_SECRET = 6  # a shorter secret hides nothing, and its letters are in every other word
RECOGNISABLE = 12  # as much of a secret's beginning is masked too: words are cut to a length

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
    """A string that shows itself to nobody but the wire, not even to tracebacks that print locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class TokenMask:
    """Replaces secrets by *** in a text: as they are, url-encoded or decoded, escaped for JSON, in any case, cut."""

    def __init__(self, *secrets: str) -> None:
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these from now on too; what was secret stays secret."""
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
    """What the HTTP libraries log in this context goes through `masked` first."""
    token = _masking.set(masked)
    try:
        yield
    finally:
        _masking.reset(token)


class _MaskedRecords(logging.Filter):
    """Masks what the HTTP libraries log during an exchange; headers that they cannot parse stand in it whole."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without the secrets."""
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


class _NoRecords(logging.Filter):
    """Drops what the OAuth libraries log during an exchange: at debug level, the tokens that they just received."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass that have nothing to do with our exchanges."""
        return _masking.get() is None


def silence_logs_of_the_oauth_libraries() -> None:
    """Filter every logger that they have made, once however often it is called. Call it after importing them."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        if name.split(".")[0] in OAUTH_LIBRARIES and not any(
            isinstance(f, _NoRecords) for f in logger.filters
        ):
            logger.addFilter(_NoRecords())
