"""Windows of time as ranges of ids, and the tokens that page through them.

Rules for recent search and timelines follow OpenAPI 2.166/2.167 (parameter descriptions) and x-api-v2.md §7.
Messages that are not in the documents follow the live API's wording [general knowledge].
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from x_api_simulator.clock import MAX_ID, first_id, moment_of, parse_moment, to_text

SEVEN_DAYS_MS = 7 * 86_400_000
DEFAULT_LAG_MS = 30_000
"""Without an end_time, search ends 30 seconds ago (docs: search/integrate/paginate.mdx; x-api-v2.md §7)."""
LEAST_LAG_MS = 10_000
"""An explicit end_time must be at least ten seconds ago [general knowledge of the live API]."""
OLDEST_TIMELINE_MS = parse_moment("2010-11-06T00:00:00Z")

Fault = tuple[str, str, str]
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID = re.compile(r"[0-9]{1,19}")
_FORM = struct.Struct(">QQQBI")


@dataclass(frozen=True, slots=True)
class Window:
    """lowest <= id <= highest."""

    lowest: int
    highest: int


def search_window(params: Mapping[str, str], now_ms: int) -> tuple[Window, list[Fault]]:
    """The window of a recent search or count, and what X would object to."""
    faults = _pairs(params, (("start_time", "since_id"), ("end_time", "until_id")))
    start_ms, end_ms = _time(params, "start_time", faults), _time(params, "end_time", faults)
    since_id, until_id = _id(params, "since_id", faults), _id(params, "until_id", faults)
    oldest_ms = now_ms - SEVEN_DAYS_MS
    for name, moment in (("start_time", start_ms), ("end_time", end_ms)):
        if moment is not None and moment < oldest_ms // 1000 * 1000:
            since = to_text(oldest_ms)
            text = f"Invalid '{name}':'{params[name]}'. '{name}' must be on or after {since}."
            faults.append((name, params[name], text))
    for name, number in (("since_id", since_id), ("until_id", until_id)):
        if number is not None and moment_of(number) < oldest_ms:
            text = (
                f"'{name}' must be a tweet id created after {to_text(oldest_ms)}. "
                f"Please use a '{name}' that is larger than {first_id(oldest_ms)}"
            )
            faults.append((name, params[name], text))
    if end_ms is not None and end_ms > now_ms - LEAST_LAG_MS:
        text = (
            f"Invalid 'end_time':'{params['end_time']}'. 'end_time' must be a minimum of 10 seconds prior to the "
            "request time."
        )
        faults.append(("end_time", params["end_time"], text))
    _in_order(params, start_ms, end_ms, since_id, until_id, faults)
    lowest = (
        since_id + 1 if since_id is not None else first_id(start_ms if start_ms is not None else oldest_ms)
    )
    if until_id is not None:
        highest = min(until_id, first_id(now_ms + 1)) - 1
    else:
        highest = first_id(end_ms if end_ms is not None else now_ms - DEFAULT_LAG_MS) - 1
    return Window(lowest, highest), faults


def timeline_window(params: Mapping[str, str], now_ms: int) -> tuple[Window, list[Fault]]:
    """The window of a user's timeline: no 30 s delay, no seven-day limit; ids win over times (OpenAPI 2.166)."""
    faults: list[Fault] = []
    start_ms, end_ms = _time(params, "start_time", faults), _time(params, "end_time", faults)
    since_id, until_id = _id(params, "since_id", faults), _id(params, "until_id", faults)
    for name, moment in (("start_time", start_ms), ("end_time", end_ms)):
        if moment is not None and moment < OLDEST_TIMELINE_MS:
            text = f"Invalid '{name}':'{params[name]}'. '{name}' must be on or after 2010-11-06T00:00:00Z."
            faults.append((name, params[name], text))
    _in_order(params, start_ms, end_ms, since_id, until_id, faults)
    lowest = since_id + 1 if since_id is not None else first_id(start_ms or 0)
    highest = until_id - 1 if until_id is not None else first_id(end_ms) - 1 if end_ms is not None else MAX_ID
    return Window(lowest, min(highest, first_id(now_ms + 1) - 1)), faults


def _pairs(params: Mapping[str, str], pairs: tuple[tuple[str, str], ...]) -> list[Fault]:
    return [
        (second, params[second], f"At most one of `{first}`, `{second}` may be provided.")
        for first, second in pairs
        if first in params and second in params
    ]


def _time(params: Mapping[str, str], name: str, faults: list[Fault]) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    try:
        if not _TIME.fullmatch(value):
            raise ValueError
        return parse_moment(value) // 1000 * 1000
    except ValueError:
        text = f"Invalid '{name}':'{value}'. '{name}' must be of the form YYYY-MM-DDTHH:mm:ssZ"
        faults.append((name, value, text))
        return None


def _id(params: Mapping[str, str], name: str, faults: list[Fault]) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if not _ID.fullmatch(value):
        text = f"The `{name}` query parameter value [{value}] does not match ^[0-9]{{1,19}}$"
        faults.append((name, value, text))
        return None
    return int(value)


def _in_order(
    params: Mapping[str, str],
    start_ms: int | None,
    end_ms: int | None,
    since_id: int | None,
    until_id: int | None,
    faults: list[Fault],
) -> None:
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        text = f"Invalid 'end_time':'{params['end_time']}'. 'end_time' must be after 'start_time'."
        faults.append(("end_time", params["end_time"], text))
    if since_id is not None and until_id is not None and since_id >= until_id:
        text = f"Invalid 'until_id':'{params['until_id']}'. 'until_id' must be larger than 'since_id'."
        faults.append(("until_id", params["until_id"], text))


@dataclass(frozen=True, slots=True)
class Token:
    """A position while paging: the window of the first page, and the id where this page starts.

    `backward` means the page of newer ids (previous_token). The token carries its window, so that the default
    end_time of the first page applies to all pages.
    """

    window: Window
    anchor: int
    backward: bool = False

    def encode(self, asked: str) -> str:
        """Opaque text in base32hex (OpenAPI 2.167), bound to the request."""
        plain = _FORM.pack(
            self.window.lowest, self.window.highest, self.anchor, self.backward, zlib.crc32(asked.encode())
        )
        return base64.b32hexencode(plain).decode().rstrip("=").lower()

    @classmethod
    def decode(cls, text: str, asked: str) -> Token:
        """Read a token. Raises ValueError if the text is not a token, or belongs to another request."""
        try:
            plain = base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
            lowest, highest, anchor, backward, checksum = _FORM.unpack(plain)
        except (binascii.Error, struct.error, ValueError) as error:
            raise ValueError("not one of our tokens") from error
        if checksum != zlib.crc32(asked.encode()):
            raise ValueError("a token of another query")
        return cls(Window(lowest, highest), anchor, bool(backward))
