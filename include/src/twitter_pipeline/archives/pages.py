"""What one record of an archive holds: an answer of X, a line of its stream, a tweet or user on its own, one of our
own messages.

Objects are cut out of the record as the bytes they are and decoded beside that, since the bytes are what is kept.
Only where the strict parser refuses (lone surrogates) are they written anew, with the same content. One object
that cannot be used is set aside; its neighbours go. What would be left behind has a name: it is refused, or counted.
"""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from tweet_envelope import pages
from tweet_envelope.ids import BadId, read_id
from tweet_envelope.instants import UNKNOWN_TIME, read_time
from tweet_envelope.references import KIND_OF_INCLUDES
from tweet_envelope.schema import MEMBERS, PROVENANCE_MEMBERS
from twitter_pipeline.archives.flattened import ADDED, restore
from twitter_pipeline.archives.reading import BOM
from twitter_pipeline.archives.refusals import Unimportable
from twitter_pipeline.archives.vocabularies import other_vocabulary
from twitter_pipeline.warehouse.model import KNOWN_FIELDS

ANSWER = frozenset(["data", "includes", "errors", "meta", "matching_rules", "__twarc", "__import_meta"])
"""The members of an answer that have a home, or need none."""
INCLUDES = frozenset([*KIND_OF_INCLUDES, "topics"])
SIBLINGS = frozenset(["includes", "errors", "matching_rules", "meta"])
"""What some tools write beside the members of a tweet or user."""
_ONLY_TWEETS = KNOWN_FIELDS["tweet"] - KNOWN_FIELDS["user"]
_NOTHING = (b"null", b"{}", b"[]", b'""')
"""What R, PHP and others write where there is no list."""


@dataclass(frozen=True, slots=True)
class Item(pages.Item):
    """One object of an archive; what cannot be read as one is refused before."""

    value: Mapping[str, Any]


@dataclass
class ArchivedPage:
    """The tweets of a record in their order, what came with them, and when X gave them (None: unknown).

    `matching_rules`: the rules of a filtered stream that its tweet matched. `message` and `provenance`: the members
    of one of our own envelopes, and where it came from. `refused`: objects that had to be left out, with their bytes. `homeless`: members of
    the record that have no place in an envelope, and how often they were there.
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
        """How many tweets came only because others refer to them."""
        return sum(len(self.includes.get(name, ())) for name in ("tweets", "posts"))

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it would be imported."""
        return not (self.data or self.includes or self.errors)


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode


def pages_of(body: bytes) -> list[ArchivedPage]:
    """The pages in a record: one, or as many as an array has elements.

    Raises Unimportable: not_utf8, not_json, nesting, version, vocabulary, own_export, error_answer, no_tweet, shape.
    """
    body = body.removeprefix(BOM).strip()
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Unimportable("not_utf8", str(error)) from None
    if not body.startswith(b"["):
        return [_page(body)]
    pages, refused = [], ArchivedPage()
    for element in _elements_of(body):
        try:
            pages.append(_page(element))
        except Unimportable as why:
            refused.refused.append((why, element))
    return [*pages, refused] if refused.refused else pages


def _page(body: bytes) -> ArchivedPage:
    if not body.startswith(b"{"):
        _decoded(body)
        if body.strip(b'"').isdigit():
            raise Unimportable("shape", "an id on its own; look it up first, and import X's answer")
        raise Unimportable("shape", "neither an answer of X nor a tweet, but a bare JSON value")
    members = _members_of(body)
    if "envelope_version" in members:
        return _own_message(members)
    if members.keys() >= {"_id", "envelope"}:
        return _own_document(members)
    if members.keys() >= {"request", "status", "headers", "body"}:
        return _recorded_exchange(members)
    if (why := other_vocabulary(members.keys(), lambda name: _decoded(members[name]))) is not None:
        raise why
    if "data" in members:
        return _answer(members)
    if members.keys() >= {"title", "type"}:
        raise Unimportable("error_answer", f"X's answer was an error: {_decoded(members['title'])!s:.100}")
    if "tweet" in members:
        return _answer({"data": members["tweet"], **{k: v for k, v in members.items() if k != "tweet"}})
    if "id" in members:
        return _alone(body, members)
    if members.keys() & INCLUDES:
        return _includes_alone(members)
    if members.keys() & ANSWER:
        return _answer(members)
    raise Unimportable("shape", f"neither an answer of X nor a tweet: has {_names(members)}")


def _own_message(members: dict[str, bytes]) -> ArchivedPage:
    """A message of the raw topic: it is sent again with its provenance, apart from a time that is yet to come."""
    stated = _object(_decoded(members.get("provenance", b"null")))
    observed_at = stated.get("observed_at")
    page = ArchivedPage(
        message={name: raw for name, raw in members.items() if name in MEMBERS},
        provenance={name: value for name, value in stated.items() if name in PROVENANCE_MEMBERS},
        observed_at=_credible(read_time(observed_at)) if isinstance(observed_at, str) else None,
    )
    page.homeless.update(name[:100] for name in members.keys() - MEMBERS)
    page.homeless.update(f"provenance.{name[:100]}" for name in stated.keys() - PROVENANCE_MEMBERS)
    if "tweet" in members:
        value = _decoded(members["tweet"])
        if not isinstance(value, Mapping):
            raise Unimportable("shape", "an envelope of this pipeline whose tweet is no object")
        if (why := _id_trouble(value)) is not None:
            raise why
        page.data = [Item(members["tweet"], value)]
    if members.get("includes", b"null").startswith(b"{"):
        page.includes = {
            name: list(_items(objects, page)) for name, objects in _members_of(members["includes"]).items()
        }
    return page


def _own_document(members: Mapping[str, bytes]) -> ArchivedPage:
    """A document of raw_tweets, as mongoexport writes it (Extended JSON, both versions)."""
    binary = _object(_decoded(members["envelope"])).get("$binary")
    text = binary.get("base64") if isinstance(binary, Mapping) else binary
    try:
        message = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        message = b""
    if not message.startswith(b"{"):
        raise Unimportable("shape", "a document of raw_tweets whose envelope cannot be read")
    return _page(message)


def _recorded_exchange(members: Mapping[str, bytes]) -> ArchivedPage:
    """An answer together with its request and headers, as HTTP recorders keep it; its Date is the retrieval time."""
    page = _page(members["body"])
    date = _object(_decoded(members["headers"])).get("date")
    date = date[0] if isinstance(date, list) and date else date
    if page.observed_at is None and isinstance(date, str):
        try:
            parsed = parsedate_to_datetime(date)
        except ValueError:
            return page
        page.observed_at = _credible(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    return page


def _alone(body: bytes, members: dict[str, bytes]) -> ArchivedPage:
    """A tweet or a user, perhaps flattened, perhaps with its includes beside its own members."""
    beside = {name: raw for name, raw in members.items() if name in SIBLINGS}
    if beside:
        members = {name: raw for name, raw in members.items() if name not in SIBLINGS}
        body = b"{" + b",".join(_encoded(name) + b":" + raw for name, raw in members.items()) + b"}"
    value = _object(_decoded(body))
    if not _is_tweet(value) and not _is_user(value):
        raise Unimportable("shape", f"neither an answer of X nor a tweet or user: has {_names(members)}")
    page = _answer(beside) if beside else ArchivedPage()
    page.observed_at = _retrieved_at(value)
    _sort_in(page, [Item(body, value)], alone=True)
    return page


def _includes_alone(members: dict[str, bytes]) -> ArchivedPage:
    """The includes of an answer in a file of their own, as academictwitteR writes them, and perhaps its errors."""
    includes = {name: raw for name, raw in members.items() if name in INCLUDES}
    for name, raw in includes.items():
        for item in _items(raw, ArchivedPage()):
            if (why := other_vocabulary(item.value.keys(), item.value.__getitem__)) is not None:
                raise Unimportable(why.reason, f"{name}: {why}")
    inside = b"{" + b",".join(_encoded(name) + b":" + raw for name, raw in includes.items()) + b"}"
    return _answer(
        {**{name: raw for name, raw in members.items() if name not in INCLUDES}, "includes": inside}
    )


def _answer(members: Mapping[str, bytes]) -> ArchivedPage:
    page = ArchivedPage(observed_at=_retrieved_at({k: _decoded(members[k]) for k in ADDED & members.keys()}))
    page.homeless.update(name[:100] for name in members.keys() - ANSWER)
    includes = members.get("includes", b"null")
    if includes not in _NOTHING and not includes.startswith(b"{"):
        page.refused.append((Unimportable("shape", "includes is no object"), includes))
    for name, objects in (_members_of(includes) if includes.startswith(b"{") else {}).items():
        if items := list(_items(objects, page)):
            page.includes[name] = items
    page.errors = list(_items(members.get("errors", b"null"), page))
    page.matching_rules = list(_items(members.get("matching_rules", b"null"), page))
    _sort_in(page, _items(members.get("data", b"null"), page))
    if page.is_empty and not page.refused and page.homeless:
        raise Unimportable("shape", f"neither an answer of X nor a tweet: has {_names(members)}")
    return page


def _sort_in(page: ArchivedPage, items: Iterable[Item], *, alone: bool = False) -> None:
    """Tweets of `data` become the page's data, users travel with its includes, what is neither is refused."""
    users, others = [], []
    for item in items:
        value = item.value
        if not alone and (foreign := other_vocabulary(value.keys(), value.__getitem__)) is not None:
            page.refused.append((foreign, item.raw))
        elif _is_user(value):
            users.append(item)
        elif not _is_tweet(value):
            others.append(item)
        elif value.keys() >= {"resource_id", "author_user"}:
            # where 4CAT looked up a tweet that X did not give, it makes one up around X's error
            page.errors.append(_made_up_around(value))
        elif (why := _id_trouble(value)) is not None:
            page.refused.append((why, item.raw))
        else:
            page.data.append(_restored(item, page) if alone or value.keys() & ADDED else item)
    if users:
        page.includes["users"] = [*page.includes.get("users", ()), *users]
    if others:
        why = Unimportable("no_tweet", f"{len(others)} objects under data are neither tweets nor users")
        if page.is_empty and not page.refused:
            raise why
        page.refused += [
            (Unimportable("no_tweet", "neither a tweet nor a user"), item.raw) for item in others
        ]


def _restored(item: Item, page: ArchivedPage) -> Item:
    tweet = item.value
    restored = restore(tweet)
    if restored.tweet == tweet:
        return item
    for name, objects in restored.includes.items():
        known = page.includes.setdefault(name, [])
        known += [new for found in objects if (new := Item(_encoded(found), found)) not in known]
    page.errors += [Item(_encoded(error), error) for error in restored.errors]
    return Item(_encoded(restored.tweet), restored.tweet)


def _made_up_around(value: Mapping[str, Any]) -> Item:
    made_up = {"id", "created_at", "text", "author_user", "author_id", "public_metrics", "subject"}
    error = {name: part for name, part in value.items() if name not in made_up}
    return Item(_encoded(error), error)


def _is_user(value: Mapping[str, Any]) -> bool:
    return value.keys() >= {"username", "name", "id"} and not value.keys() & {"text", "author_id"}


def _is_tweet(value: Mapping[str, Any]) -> bool:
    names = value.keys()
    if names & {"dm_conversation_id", "event_type", "event_uuid"}:
        return False
    if names & {"text", "author_id", "edit_history_tweet_ids", "edit_history_post_ids", "referenced_tweets"}:
        return True
    return names <= KNOWN_FIELDS["tweet"] and bool(names & _ONLY_TWEETS)


def _id_trouble(value: Mapping[str, Any]) -> Unimportable | None:
    stated = value.get("id")
    if stated is None:
        return Unimportable("shape", "a tweet without an id")
    try:
        read_id(stated, "id")
    except BadId as bad:
        return Unimportable("id_range", str(bad))
    return None


def _items(raw: bytes, page: ArchivedPage) -> Iterable[Item]:
    """The objects of a list (or the one object that stands for itself); what is none is refused."""
    if raw in _NOTHING:
        return
    for element in _elements_of(raw) if raw.startswith(b"[") else [raw]:
        try:
            value = _decoded(element)
        except Unimportable as why:
            page.refused.append((why, element))
            continue
        if isinstance(value, Mapping):
            yield Item(element, value)
        else:
            page.refused.append((Unimportable("shape", "stands where an object of X belongs"), element))


def _retrieved_at(holder: Mapping[str, Any]) -> datetime | None:
    """When X gave it, as twarc wrote down, or a browser's extension (milliseconds)."""
    if isinstance(stated := _object(holder.get("__twarc")).get("retrieved_at"), str):
        return _credible(read_time(stated))
    stated = _object(holder.get("__import_meta")).get("timestamp_collected")
    if isinstance(stated, int) and not isinstance(stated, bool):
        try:
            return _credible(UNKNOWN_TIME + timedelta(milliseconds=stated))
        except OverflowError:
            return None
    return None


def _credible(instant: datetime | None) -> datetime | None:
    """An instant to come would outrank every true observation: then the time counts as unknown."""
    return None if instant is None or instant > datetime.now(UTC) else instant.astimezone(UTC)


def _members_of(document: bytes) -> dict[str, bytes]:
    try:
        return {name: bytes(raw) for name, raw in _members(document).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {str(name): _encoded(value) for name, value in _object(_forgivingly(document)).items()}


def _elements_of(document: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _elements(document)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_encoded(value) for value in _forgivingly(document)]


def _decoded(document: bytes) -> Any:
    try:
        return _value(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _forgivingly(document)


def _forgivingly(document: bytes) -> Any:
    """Decode what is JSON by the letter but no text (lone surrogates). Raises Unimportable."""
    try:
        return json.loads(document, parse_constant=_refuse_constant)
    except RecursionError:
        raise Unimportable("nesting", "nested too deep to be an answer of X") from None
    except ValueError as error:
        raise Unimportable("not_json", str(error)[:200]) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise Unimportable("nesting", "nested too deep to be an answer of X") from None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(members: Mapping[str, Any]) -> str:
    return ", ".join(repr(name[:40]) for name in list(members)[:8]) or "nothing in it"
