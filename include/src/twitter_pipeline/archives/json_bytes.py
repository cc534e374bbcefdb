"""JSON from archives, split as bytes and decoded separately, since the bytes are what is kept.

A part is re-encoded, with the same content, only if the strict parser refuses it (lone surrogates).
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from twitter_pipeline.archives.refusals import Unimportable

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode


def members_of(document: bytes) -> dict[str, bytes]:
    """The members of an object, as bytes. Raises Unimportable."""
    try:
        return {name: bytes(raw) for name, raw in _members(document).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {str(name): encoded(value) for name, value in as_object(_forgivingly(document)).items()}


def elements_of(document: bytes) -> list[bytes]:
    """The elements of a list, as bytes. Raises Unimportable."""
    try:
        return [bytes(raw) for raw in _elements(document)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [encoded(value) for value in _forgivingly(document)]


def decoded(document: bytes) -> Any:
    """The value of a document. Raises Unimportable."""
    try:
        return _value(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _forgivingly(document)


def _forgivingly(document: bytes) -> Any:
    """Decode what is formally JSON but not valid text (lone surrogates). Raises Unimportable."""
    try:
        return json.loads(document, parse_constant=_refuse_constant)
    except RecursionError:
        raise Unimportable("nesting", "nested too deeply to be an answer from X") from None
    except ValueError as error:
        raise Unimportable("not_json", str(error)[:200]) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def encoded(value: Any) -> bytes:
    """A value as JSON. Raises Unimportable if it is nested too deeply."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise Unimportable("nesting", "nested too deeply to be an answer from X") from None


def as_object(value: Any) -> Mapping[str, Any]:
    """The value, or an empty object if it is not an object."""
    return value if isinstance(value, Mapping) else {}


def names_of(members: Mapping[str, Any]) -> str:
    """The first names in an object, for messages."""
    return ", ".join(repr(name[:40]) for name in list(members)[:8]) or "nothing in it"
