"""What the tables need of X's objects, in both vocabularies (tweet.fields, OpenAPI 2.166; post.fields, 2.167).

Only the mapped fields are decoded; everything else stays in raw. Where the vocabularies differ a struct has
both names and a property that reads either. No field of X's own objects is required by its struct: which one is
needed is for `flatten` to say.
"""

from typing import Any

import msgspec

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


class TweetMetrics(msgspec.Struct):
    retweet_count: int | None = None
    repost_count: int | None = None
    reply_count: int | None = None
    like_count: int | None = None
    quote_count: int | None = None
    bookmark_count: int | None = None
    impression_count: int | None = None

    @property
    def counts(self) -> tuple[int | None, ...]:
        retweets = self.retweet_count if self.retweet_count is not None else self.repost_count
        return (
            retweets,
            self.reply_count,
            self.like_count,
            self.quote_count,
            self.bookmark_count,
            self.impression_count,
        )


class UserMetrics(msgspec.Struct):
    followers_count: int | None = None
    following_count: int | None = None
    tweet_count: int | None = None
    post_count: int | None = None
    listed_count: int | None = None
    like_count: int | None = None
    media_count: int | None = None

    @property
    def counts(self) -> tuple[int | None, ...]:
        tweets = self.tweet_count if self.tweet_count is not None else self.post_count
        return (
            self.followers_count,
            self.following_count,
            tweets,
            self.listed_count,
            self.like_count,
            self.media_count,
        )


class Withheld(msgspec.Struct):
    copyright: bool | None = None
    country_codes: list[str] | None = None


class Attachments(msgspec.Struct):
    media_keys: list[str] | None = None
    poll_ids: list[str] | None = None


class Geo(msgspec.Struct):
    place_id: str | None = None


class Tweet(msgspec.Struct):
    id: Id | None = None
    text: str | None = None
    author_id: Id | None = None
    created_at: str | None = None
    conversation_id: Id | None = None
    in_reply_to_user_id: Id | None = None
    lang: str | None = None
    source: str | None = None
    community_id: Id | None = None
    possibly_sensitive: bool | None = None
    reply_settings: str | None = None
    public_metrics: TweetMetrics | None = None
    withheld: Withheld | None = None
    attachments: Attachments | None = None
    geo: Geo | None = None
    entities: Entities | None = None
    note_tweet: Note | None = None
    note_post: Note | None = None
    referenced_tweets: list[Reference] | None = None
    referenced_posts: list[Reference] | None = None
    edit_history_tweet_ids: list[Id] | None = None
    edit_history_post_ids: list[Id] | None = None

    @property
    def note(self) -> Note | None:
        return self.note_tweet or self.note_post

    @property
    def references(self) -> list[Reference]:
        return self.referenced_tweets or self.referenced_posts or []

    @property
    def edit_history(self) -> list[Id]:
        return self.edit_history_tweet_ids or self.edit_history_post_ids or []


class User(msgspec.Struct):
    id: Id | None = None
    username: str | None = None
    name: str | None = None
    created_at: str | None = None
    description: str | None = None
    location: str | None = None
    url: str | None = None
    profile_image_url: str | None = None
    protected: bool | None = None
    verified: bool | None = None
    verified_type: str | None = None
    pinned_tweet_id: Id | None = None
    pinned_post_id: Id | None = None
    public_metrics: UserMetrics | None = None


# The fields of the two specifications: one that is in neither list is drift.
TWEET_FIELDS = frozenset(
    [
        "article",
        "article_title",
        "attachments",
        "author_id",
        "card_uri",
        "community_id",
        "context_annotations",
        "conversation_id",
        "created_at",
        "display_text_range",
        "edit_controls",
        "edit_history_tweet_ids",
        "edit_history_post_ids",
        "entities",
        "geo",
        "id",
        "in_reply_to_user_id",
        "lang",
        "matched_media_notes",
        "media_metadata",
        "non_public_metrics",
        "note_post",
        "note_request_suggestions",
        "note_tweet",
        "organic_metrics",
        "paid_partnership",
        "possibly_sensitive",
        "promoted_metrics",
        "public_metrics",
        "referenced_posts",
        "referenced_tweets",
        "reply_settings",
        "scopes",
        "source",
        "suggested_source_links",
        "suggested_source_links_with_counts",
        "text",
        "username",
        "withheld",
    ]
)
USER_FIELDS = frozenset(
    [
        "affiliation",
        "confirmed_email",
        "connection_status",
        "created_at",
        "description",
        "entities",
        "id",
        "is_identity_verified",
        "location",
        "most_recent_post_id",
        "most_recent_tweet_id",
        "name",
        "parody",
        "pinned_post_id",
        "pinned_tweet_id",
        "profile_banner_url",
        "profile_image_url",
        "protected",
        "public_metrics",
        "receives_your_dm",
        "subscribes_to_you",
        "subscription",
        "subscription_type",
        "url",
        "username",
        "verified",
        "verified_followers_count",
        "verified_type",
        "withheld",
    ]
)

decode_tweet = msgspec.json.Decoder(Tweet).decode
decode_user = msgspec.json.Decoder(User).decode
decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_any: Any = msgspec.json.Decoder().decode
