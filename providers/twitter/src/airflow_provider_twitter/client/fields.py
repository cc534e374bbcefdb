"""Which fields and expansions a request asks for, in either of X's vocabularies.

X leaves out empty fields, so a missing field means "empty" only if it was requested. The envelope therefore carries
this selection along. It is declared once, here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Vocabulary = Literal["tweet", "post"]

_SHARED_FIELDS = (
    "article",
    "attachments",
    "card_uri",
    "community_id",
    "context_annotations",
    "conversation_id",
    "created_at",
    "display_text_range",
    "edit_controls",
    "entities",
    "geo",
    "id",
    "lang",
    "paid_partnership",
    "possibly_sensitive",
    "public_metrics",
    "reply_settings",
    "scopes",
    "source",
    "text",
    "withheld",
)
_USER_FIELDS = (
    "created_at",
    "description",
    "entities",
    "id",
    "is_identity_verified",
    "location",
    "name",
    "parody",
    "profile_banner_url",
    "profile_image_url",
    "protected",
    "public_metrics",
    "url",
    "username",
    "verified",
    "verified_type",
    "withheld",
)
_MEDIA_FIELDS = (
    "alt_text",
    "duration_ms",
    "height",
    "media_key",
    "preview_image_url",
    "public_metrics",
    "type",
    "url",
    "variants",
    "width",
)
_PLACE_FIELDS = (
    "contained_within",
    "country",
    "country_code",
    "full_name",
    "geo",
    "id",
    "name",
    "place_type",
)
_POLL_FIELDS = ("duration_minutes", "end_datetime", "id", "options", "voting_status")
_SHARED_EXPANSIONS = (
    "attachments.media_keys",
    "attachments.poll_ids",
    "author_id",
    "entities.mentions.username",
    "geo.place_id",
    "in_reply_to_user_id",
)


@dataclass(frozen=True, slots=True)
class Requested:
    """A selection of fields and expansions, in one vocabulary.

    `tweet_fields` holds the names for tweet.fields or post.fields, depending on the vocabulary.
    """

    vocabulary: Vocabulary
    tweet_fields: tuple[str, ...] = ()
    user_fields: tuple[str, ...] = ()
    media_fields: tuple[str, ...] = ()
    place_fields: tuple[str, ...] = ()
    poll_fields: tuple[str, ...] = ()
    expansions: tuple[str, ...] = ()

    @classmethod
    def everything_public(cls, vocabulary: Vocabulary = "tweet") -> Requested:
        """Everything that an app's bearer token may read and a pipeline stores (OpenAPI 2.166 tweet, 2.167 post)."""
        if vocabulary == "post":
            tweet_fields: tuple[str, ...] = (*_SHARED_FIELDS, "article_title", "note_post")
            expansions: tuple[str, ...] = (*_SHARED_EXPANSIONS, "edit_history_post_ids", "referenced_posts")
            user_fields: tuple[str, ...] = _USER_FIELDS
        else:
            tweet_fields = (
                *_SHARED_FIELDS,
                "author_id",
                "edit_history_tweet_ids",
                "in_reply_to_user_id",
                "note_tweet",
                "referenced_tweets",
            )
            expansions = (
                *_SHARED_EXPANSIONS,
                "referenced_tweets.id",
                "referenced_tweets.id.attachments.media_keys",
                "referenced_tweets.id.author_id",
            )
            user_fields = (*_USER_FIELDS, "affiliation", "pinned_tweet_id")
        return cls(
            vocabulary=vocabulary,
            tweet_fields=tuple(sorted(tweet_fields)),
            user_fields=tuple(sorted(user_fields)),
            media_fields=_MEDIA_FIELDS,
            place_fields=_PLACE_FIELDS,
            poll_fields=_POLL_FIELDS,
            expansions=tuple(sorted(expansions)),
        )

    def params(self, names: Iterable[str]) -> dict[str, str]:
        """The selections for these parameters of an endpoint, as X expects them; empty ones are left out.

        "tweet.fields" stands for the parameter of the vocabulary.
        """
        selections = {
            "tweet.fields": self.tweet_fields,
            "user.fields": self.user_fields,
            "media.fields": self.media_fields,
            "place.fields": self.place_fields,
            "poll.fields": self.poll_fields,
            "expansions": self.expansions,
        }
        spelled = {"tweet.fields": f"{self.vocabulary}.fields"}
        return {spelled.get(name, name): ",".join(selections[name]) for name in names if selections.get(name)}
