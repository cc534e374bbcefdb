"""Careful reading of JSON that the fast decoder refuses, without what the stores cannot hold."""

import json
from typing import Any


class NotJson(ValueError):
    """Bytes that are not JSON text; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_carefully(payload: bytes) -> tuple[Any, bool]:
    """Parse bytes that the fast decoder refuses; return the cleaned document and whether cleaning changed it.

    Accepts a byte order mark, lone surrogates and NULs. Raises NotJson for NaN and for anything that is not JSON.
    """
    try:
        text = payload.decode().removeprefix("\ufeff")
        return clean(json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number))
    except RecursionError:
        raise NotJson("nesting", "nested too deeply to be an answer from X") from None
    except ValueError as error:
        raise NotJson("not_json", str(error)[:200]) from None


def clean(value: Any) -> tuple[Any, bool]:
    """A JSON value without what PostgreSQL and MongoDB cannot hold, and whether anything was changed.

    NUL characters are removed and lone surrogates become U+FFFD, in keys too. A literal backslash-u0000 in a text is
    ordinary text and stays. Raises RecursionError on hostile nesting.
    """
    if isinstance(value, str):
        cleaned = value.replace("\x00", "")
        try:
            cleaned.encode()
        except UnicodeEncodeError:
            cleaned = cleaned.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return cleaned, cleaned != value
    if isinstance(value, dict):
        pairs = [(clean(k), clean(v)) for k, v in value.items()]
        return {k: v for (k, _), (v, _) in pairs}, any(a or b for (_, a), (_, b) in pairs)
    if isinstance(value, list):
        items = [clean(v) for v in value]
        return [v for v, _ in items], any(changed for _, changed in items)
    return value, False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _whole_number(digits: str) -> int | float:
    """The number itself; if it has more digits than anything here can hold, a float, which is no id and no count."""
    return int(digits) if len(digits) <= 40 else float(digits)
