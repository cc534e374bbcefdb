"""JSON that the fast decoder refuses, read the careful way, without what no store can hold."""

import json
from typing import Any


class NotJson(ValueError):
    """Bytes that are no JSON text; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parse_carefully(payload: bytes) -> tuple[Any, bool]:
    """A JSON document out of bytes that the fast decoder refuses, cleaned, and whether cleaning changed it.

    Takes a byte order mark, lone surrogates and NULs; raises NotJson for NaN and for anything that is not JSON.
    """
    try:
        text = payload.decode().removeprefix("\ufeff")
        return clean(json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number))
    except RecursionError:
        raise NotJson("nesting", "nested too deep to be an answer of X") from None
    except ValueError as error:
        raise NotJson("not_json", str(error)[:200]) from None


def clean(value: Any) -> tuple[Any, bool]:
    """A JSON value without what PostgreSQL and MongoDB cannot hold, and whether anything had to go.

    NUL characters are removed, lone surrogates become U+FFFD, in keys too. A literal backslash-u0000 in a
    text is just text and stays. Raises RecursionError on hostile nesting.
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
    raise ValueError(f"{name} is no JSON number")


def _whole_number(digits: str) -> int | float:
    """A number as it is; one of more digits than anything here holds as a float, which is no id and no count."""
    return int(digits) if len(digits) <= 40 else float(digits)
