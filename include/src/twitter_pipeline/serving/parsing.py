"""Turns texts that people type into values, with the same rules and messages for the API, the commands and the Dags.

Each function raises ValueError with a message that says what to give instead. The message never repeats the text,
which may be anything.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from tweet_envelope.ids import LARGEST_ID
from twitter_pipeline.text import RULE_NAME, normal_tag, normal_username, searchable

MOST_WORDS = 10
MOST_LISTED = 1_000
"""The longest page of a list."""
FIRST_INSTANT = datetime(2006, 1, 1, tzinfo=UTC)  # X started in March 2006
FURTHEST_AHEAD = timedelta(days=1)
_DATE_LENGTH = len("2026-01-31")
_ID = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


def instant(text: str) -> datetime:
    """A time with a time zone, or a date (midnight UTC); the result is in UTC."""
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo is None and len(text) == _DATE_LENGTH:
            given = given.replace(tzinfo=UTC)
        if given.tzinfo is None:
            raise ValueError
        given = given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("give a time with a time zone, such as 2026-01-31T12:00:00Z, or a date") from None
    if not FIRST_INSTANT <= given <= datetime.now(UTC) + FURTHEST_AHEAD:
        raise ValueError(f"give a time from {FIRST_INSTANT:%Y-%m-%d} to one day from now")
    return given


def object_id(text: str) -> int:
    """One of X's ids."""
    if not _ID.fullmatch(text) or int(text) > LARGEST_ID:
        raise ValueError("give an id: digits only, 0 to 2^63-1")
    return int(text)


def limit(text: str) -> int:
    """How many objects a page may have."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("give a whole number")
    if not 1 <= int(text) <= MOST_LISTED:
        raise ValueError(f"give a number from 1 to {MOST_LISTED}")
    return int(text)


def rule_name(text: str) -> str:
    """The name of a rule."""
    if not RULE_NAME.fullmatch(text):
        raise ValueError("give the name of a rule: a-z 0-9 _ -")
    return text


def username(text: str) -> str:
    """The username of an account, in normalised form."""
    return normal_username(text)


def hashtag(text: str) -> str:
    """A hashtag, in normalised form."""
    tag = normal_tag(_storable(text))
    if not tag:
        raise ValueError("give a hashtag")
    return tag


def words(phrases: Iterable[str]) -> tuple[str, ...]:
    """Words or phrases to search for, as typed."""
    typed = tuple(map(_storable, phrases))
    if not 1 <= len(searchable(" ".join(typed)).split()) <= MOST_WORDS:
        raise ValueError(f"give 1 to {MOST_WORDS} words")
    return typed


def is_forward(since: datetime | None, until: datetime | None) -> bool:
    """Whether a time window has a positive length, as far as its ends are known."""
    return since is None or until is None or since < until


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contains a character that is not valid in text (NUL or a lone surrogate)")
    return text
