"""What the tables need from X's objects, in both vocabularies (tweet.fields, OpenAPI 2.166; post.fields, 2.167).

Only mapped fields are decoded; everything else stays in raw. Fields that a column stores unchanged come from the model
(warehouse/model): a new column of that sort needs nothing here. The structs require no field of X's objects: the engine
decides which ones are needed.
"""

from typing import Any

import msgspec

from twitter_pipeline.warehouse.model import TWEETS, USERS, Table

Id = str | int


class Span(msgspec.Struct):
    start: int | None = None
    end: int | None = None


class Hashtag(Span):
    tag: str | None = None


class Mention(Span):
    username: str | None = None
    id: Id | None = None


class Url(Span):
    url: str | None = None
    expanded_url: str | None = None
    display_url: str | None = None
    unwound_url: str | None = None
    title: str | None = None
    description: str | None = None
    media_key: str | None = None


class Entities(msgspec.Struct):
    hashtags: list[Hashtag] | None = None
    mentions: list[Mention] | None = None
    urls: list[Url] | None = None


class Note(msgspec.Struct):
    text: str | None = None
    entities: Entities | None = None


class Reference(msgspec.Struct):
    id: Id | None = None
    type: str | None = None


def _struct_of(name: str, table: Table, **by_code: Any) -> Any:
    """A struct of the fields that a table's columns are read from, and of the fields that code reads."""
    fields: dict[str, Any] = dict(by_code)
    within: dict[str, dict[str, Any]] = {}
    for column in table.loaded:
        for path in column.paths if column.is_read else ():
            if len(path) == 1:
                fields[path[0]] = column.type.decoded
            else:
                parent, field = path
                within.setdefault(parent, {})[field] = column.type.decoded
    for parent, members in within.items():
        fields[parent] = msgspec.defstruct(parent, _optional(members)) | None
    return msgspec.defstruct(name, _optional(fields))


def _optional(fields: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(field, decoded, None) for field, decoded in fields.items()]


Tweet: Any = _struct_of(
    "Tweet",
    TWEETS,
    id=Id | None,
    text=str | None,
    created_at=str | None,
    entities=Entities | None,
    note_tweet=Note | None,
    note_post=Note | None,
    referenced_tweets=list[Reference] | None,
    referenced_posts=list[Reference] | None,
)
User: Any = _struct_of("User", USERS, id=Id | None)


def note_of(tweet: Any) -> Note | None:
    """The long text of a tweet, in either vocabulary."""
    note: Note | None = tweet.note_tweet or tweet.note_post
    return note


def references_of(tweet: Any) -> list[Reference]:
    """The tweets that a tweet refers to, in either vocabulary."""
    references: list[Reference] = tweet.referenced_tweets or tweet.referenced_posts or []
    return references


decode_tweet = msgspec.json.Decoder(Tweet).decode
decode_user = msgspec.json.Decoder(User).decode
decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_any: Any = msgspec.json.Decoder().decode
