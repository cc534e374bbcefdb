"""What one record of an archive holds, whatever its format."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tweet_envelope import pages
from twitter_pipeline.archives.refusals import Unimportable


@dataclass(frozen=True, slots=True)
class Item(pages.Item):
    """One object of an archive; anything that cannot be read as an object was refused earlier."""

    value: Mapping[str, Any]


@dataclass
class ArchivedPage:
    """The tweets of a record in order, what came with them, and when X returned them (None: unknown).

    `matching_rules`: the rules of a filtered stream that its tweet matched. `message` and `provenance`: the members of one
    of our own envelopes, and its origin. `refused`: objects that had to be left out, with their bytes. `homeless`: members
    of the record that have no place in an envelope, and how often they occurred.
    """

    data: list[Item] = field(default_factory=list)
    includes: dict[str, list[Item]] = field(default_factory=dict)
    errors: list[Item] = field(default_factory=list)
    matching_rules: list[Item] = field(default_factory=list)
    message: Mapping[str, bytes] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    observed_at: datetime | None = None
    refused: list[tuple[Unimportable, bytes]] = field(default_factory=list)
    homeless: Counter[str] = field(default_factory=Counter)

    @property
    def included_tweets(self) -> int:
        """How many tweets are here only because others refer to them."""
        return sum(len(self.includes.get(name, ())) for name in ("tweets", "posts"))

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing to import."""
        return not (self.data or self.includes or self.errors)
