"""What one record of an archive holds: an answer of X, a line of its stream, or a tweet on its own.

Objects are cut out of the record as the bytes they are and decoded beside that, since the bytes are what is kept.
Only where the strict parser refuses (lone surrogates) are they written anew, with the same content. One object
that cannot be used is set aside; its neighbours go.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from twitter_pipeline.archives.flattened import restore
from twitter_pipeline.archives.reading import BOM, Unimportable
from twitter_pipeline.transform.values import BadValue, read_id, read_time


@dataclass(frozen=True, slots=True)
class Item:
    """One object as its bytes, and what they say."""

    raw: bytes
    value: Mapping[str, Any]


@dataclass
class ArchivedPage:
    """The tweets of a record in their order, what came with them, and when X gave them (None: unknown).

    `refused`: objects of `data` or `includes` that had to be left out, with their bytes.
    """

    data: list[Item] = field(default_factory=list)
    includes: dict[str, list[Item]] = field(default_factory=dict)
    errors: list[Item] = field(default_factory=list)
    observed_at: datetime | None = None
    refused: list[tuple[Unimportable, bytes]] = field(default_factory=list)

    @property
    def included_tweets(self) -> int:
        """How many tweets came only because others refer to them."""
        return sum(len(self.includes.get(name, ())) for name in ("tweets", "posts"))


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode


def pages_of(body: bytes) -> list[ArchivedPage]:
    """The pages in a record: one, or as many as an array has elements.

    Raises Unimportable: not_utf8, not_json, nesting, version, error_answer, no_tweet, shape.
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
        raise Unimportable("shape", "neither an answer of X nor a tweet, but a bare JSON value")
    members = _members_of(body)
    if members.keys() >= {"statuses", "search_metadata"} or "full_text" in members or "id_str" in members:
        raise Unimportable("version", "from version 1.1 of the API; only version 2 can be imported")
    if members.keys() >= {"request", "status", "headers", "body"}:
        return _recorded_exchange(members)
    if "data" not in members and {"id", "text"} <= members.keys():
        return _lone_tweet(body)
    if "data" not in members and {"title", "type"} <= members.keys():
        raise Unimportable("error_answer", f"X's answer was an error: {_decoded(members['title'])!s:.100}")
    if members.keys() & {"data", "includes", "meta", "errors"}:
        return _answer(body, members)
    raise Unimportable("shape", f"neither an answer of X nor a tweet: has {_names(members)}")


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


def _lone_tweet(body: bytes) -> ArchivedPage:
    value = _object(_decoded(body))
    restored, includes = restore(value)
    raw = body if restored == value else _encoded(restored)
    page = ArchivedPage(observed_at=_retrieved_at(value.get("__twarc")))
    _sort_in(page, [Item(raw, restored)], body)
    page.includes |= {
        name: [Item(_encoded(found), found) for found in objects] for name, objects in includes.items()
    }
    return page


def _answer(body: bytes, members: Mapping[str, bytes]) -> ArchivedPage:
    page = ArchivedPage(observed_at=_retrieved_at(_decoded(members.get("__twarc", b"null"))))
    includes = members.get("includes", b"null")
    if includes[:1] not in (b"{", b"n"):
        page.refused.append((Unimportable("shape", "includes is no object"), includes))
    for name, objects in (_members_of(includes) if includes.startswith(b"{") else {}).items():
        if items := list(_items(objects, page)):
            page.includes[name] = items
    page.errors = list(_items(members.get("errors", b"null"), page))
    _sort_in(page, _items(members.get("data", b"null"), page), body)
    return page


def _sort_in(page: ArchivedPage, items: Iterable[Item], body: bytes) -> None:
    """Tweets of `data` become the page's data, users travel with its includes, what is neither is refused."""
    users, others = [], 0
    for item in items:
        value = item.value
        if value.keys() >= {"username", "name", "id"} and "text" not in value:
            users.append(item)
        elif "id_str" in value:
            page.refused.append((Unimportable("version", "a tweet of version 1.1 of the API"), item.raw))
        elif not _is_tweet(value):
            others += 1
        elif (why := _id_trouble(value)) is not None:
            page.refused.append((why, item.raw))
        else:
            page.data.append(item)
    if users:
        page.includes["users"] = [*page.includes.get("users", ()), *users]
    if others:
        why = Unimportable("no_tweet", f"{others} objects under data are neither tweets nor users")
        if not page.data and not page.includes:
            raise why
        page.refused.append((why, body))


def _is_tweet(value: Mapping[str, Any]) -> bool:
    if value.keys() & {"dm_conversation_id", "event_type", "event_uuid"}:
        return False
    return bool(
        value.keys()
        & {"text", "author_id", "edit_history_tweet_ids", "edit_history_post_ids", "referenced_tweets"}
    )


def _id_trouble(value: Mapping[str, Any]) -> Unimportable | None:
    stated = value.get("id")
    if stated is None:
        return Unimportable("shape", "a tweet without an id")
    try:
        read_id(stated, "id")
    except BadValue as bad:
        return Unimportable("id_range", str(bad))
    return None


def _items(raw: bytes, page: ArchivedPage) -> Iterable[Item]:
    """The objects of a list (or the one object that stands for itself); what is none is refused."""
    if raw == b"null":
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


def _retrieved_at(metadata: Any) -> datetime | None:
    stated = _object(metadata).get("retrieved_at")
    return _credible(read_time(stated)) if isinstance(stated, str) else None


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
