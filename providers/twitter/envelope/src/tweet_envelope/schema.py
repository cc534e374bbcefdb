"""What a message holds: its version, its members and their allowed words. `envelope_v1.schema.json` declares it."""

from importlib.resources import files
from typing import Any, Literal

import msgspec

ENVELOPE_VERSION = 1
Kind = Literal["tweet", "includes"]
KINDS: frozenset[str] = frozenset(["tweet", "includes"])
IMPORT = "import"
"""The source of what comes from an archive; every other one is the way in which X was asked, such as `search`."""
MEMBERS = frozenset(
    ["envelope_version", "kind", "tweet", "includes", "errors", "matching_rules", "requested", "provenance"]
)


class Provenance(msgspec.Struct, frozen=True):
    """Where an observation comes from; `observed_at` is UTC as `instant` writes it, None when it is unknown.

    `source`: lower-case letters and underscores.
    """

    rule: str | None
    source: str
    endpoint: str
    request_id: str
    observed_at: str | None
    collector: str


PROVENANCE_MEMBERS = frozenset(Provenance.__struct_fields__)


def schema() -> dict[str, Any]:
    """The JSON Schema of envelope version 1."""
    text = files(__package__).joinpath("envelope_v1.schema.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])
