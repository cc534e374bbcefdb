"""Envelopes that a test writes itself, good ones and malformed ones."""

import json
from typing import Any


def envelope(
    tweet: dict[str, Any] | None, *, observed_at: str | None = "2026-01-02T03:04:05Z", **parts: Any
) -> bytes:
    """An envelope around a tweet (None: of kind includes)."""
    document: dict[str, Any] = {
        "envelope_version": 1,
        "kind": "includes" if tweet is None else "tweet",
        "requested": None,
        "provenance": {
            "rule": "rule",
            "source": "search",
            "endpoint": "/",
            "request_id": "r",
            "observed_at": observed_at,
        },
        **parts,
    }
    if tweet is not None:
        document["tweet"] = tweet
    return json.dumps(document).encode()


MALFORMED = {
    "empty": b"",
    "null_message": None,
    "not_utf8": b'{"envelope_version": 1, "text": "\xff\xfe"}',
    "not_json": envelope({"id": "77", "text": "cut"})[:-20],
    "shape": b'{"data": null}',
    "id_range": envelope({"id": "9223372036854775808", "text": "too far"}),
    "version": envelope({"id": "78"}).replace(b'"envelope_version": 1', b'"envelope_version": 9'),
    "nesting": b'{"envelope_version": 1, "kind": "tweet", "provenance": {}, "x": '
    + b"[" * 100_000  # every Python gives up somewhere before; 3.11 at a thousand, 3.13 at ten
    + b"]" * 100_000
    + b"}",
}
