"""What this pipeline wrote itself: a message from the raw topic, or a raw_tweets document as written by mongoexport."""

import base64
import binascii
from collections.abc import Callable, Mapping

from tweet_envelope.instants import read_time
from tweet_envelope.schema import MEMBERS, PROVENANCE_MEMBERS
from twitter_pipeline.archives.formats.answers import id_trouble, items_of
from twitter_pipeline.archives.json_bytes import as_object, decoded, members_of
from twitter_pipeline.archives.page import ArchivedPage, Item
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.archives.retrieval_times import credible


def message(members: dict[str, bytes]) -> ArchivedPage:
    """A message from the raw topic: it is sent again with its provenance, except for a time in the future."""
    stated = as_object(decoded(members.get("provenance", b"null")))
    observed_at = stated.get("observed_at")
    page = ArchivedPage(
        message={name: raw for name, raw in members.items() if name in MEMBERS},
        provenance={name: value for name, value in stated.items() if name in PROVENANCE_MEMBERS},
        observed_at=credible(read_time(observed_at)) if isinstance(observed_at, str) else None,
    )
    page.homeless.update(name[:100] for name in members.keys() - MEMBERS)
    page.homeless.update(f"provenance.{name[:100]}" for name in stated.keys() - PROVENANCE_MEMBERS)
    if "tweet" in members:
        value = decoded(members["tweet"])
        if not isinstance(value, Mapping):
            raise Unimportable("shape", "an envelope of this pipeline whose tweet is not an object")
        if (why := id_trouble(value)) is not None:
            raise why
        page.data = [Item(members["tweet"], value)]
    if members.get("includes", b"null").startswith(b"{"):
        page.includes = {
            name: list(items_of(objects, page)) for name, objects in members_of(members["includes"]).items()
        }
    return page


def document(members: Mapping[str, bytes], page_of: Callable[[bytes], ArchivedPage]) -> ArchivedPage:
    """A raw_tweets document (either version of Extended JSON); `page_of` reads the message in it."""
    binary = as_object(decoded(members["envelope"])).get("$binary")
    text = binary.get("base64") if isinstance(binary, Mapping) else binary
    try:
        message = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        message = b""
    if not message.startswith(b"{"):
        raise Unimportable("shape", "a raw_tweets document whose envelope cannot be read")
    return page_of(message)
