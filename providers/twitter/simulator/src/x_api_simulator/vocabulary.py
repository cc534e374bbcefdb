"""X's two vocabularies, "tweet" (OpenAPI 2.166) and "post" (OpenAPI 2.167), and which one a request uses.

The lists are the enums of the *FieldsParameter and *ExpansionsParameter components of the two documents. A request
uses the post vocabulary if it contains any word that only 2.167 has (post.fields, an expansion such as
referenced_posts). The documents do not say what happens to a request that uses neither, so it gets the server's
default; a request that mixes both gets a 400 [inferred].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from x_api_simulator.windows import Fault


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MEDIA_FIELDS = _words(
    "alt_text duration_ms height media_key non_public_metrics organic_metrics preview_image_url promoted_metrics"
    " public_metrics type url variants width"
)
PLACE_FIELDS = _words("contained_within country country_code full_name geo id name place_type")
POLL_FIELDS = _words("duration_minutes end_datetime id options voting_status")
USAGE_FIELDS = _words(
    "cap_reset_day daily_client_app_usage daily_project_usage project_cap project_id project_usage"
)

_SHARED_TWEET_FIELDS = _words(
    "article attachments card_uri community_id context_annotations conversation_id created_at display_text_range"
    " edit_controls entities geo id lang matched_media_notes media_metadata non_public_metrics"
    " note_request_suggestions organic_metrics paid_partnership possibly_sensitive promoted_metrics public_metrics"
    " reply_settings scopes source suggested_source_links suggested_source_links_with_counts text withheld"
)
_SHARED_EXPANSIONS = _words(
    "article.cover_media article.media_entities attachments.media_keys attachments.media_source_tweet"
    " attachments.poll_ids author_id entities.mentions.username geo.place_id in_reply_to_user_id"
)
_SHARED_USER_FIELDS = _words(
    "confirmed_email connection_status created_at description entities id is_identity_verified location name parody"
    " profile_banner_url profile_image_url protected public_metrics receives_your_dm subscription subscription_type"
    " url username verified verified_followers_count verified_type withheld"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One edition of X's words. `name` is tweet or post, which is also the prefix of its fields parameter."""

    name: str
    tweet_fields: frozenset[str]
    tweet_expansions: frozenset[str]
    user_fields: frozenset[str]
    user_expansions: frozenset[str]
    default_tweet_fields: frozenset[str]
    count_fields: frozenset[str]

    @property
    def fields_parameter(self) -> str:
        return f"{self.name}.fields"


TWEET = Vocabulary(
    "tweet",
    _SHARED_TWEET_FIELDS
    | _words("author_id edit_history_tweet_ids in_reply_to_user_id note_tweet referenced_tweets"),
    _SHARED_EXPANSIONS
    | _words(
        "edit_history_tweet_ids entities.note.mentions.username referenced_tweets.id"
        " referenced_tweets.id.attachments.media_keys referenced_tweets.id.author_id"
    ),
    _SHARED_USER_FIELDS | _words("affiliation most_recent_tweet_id pinned_tweet_id"),
    _words("affiliation.user_id most_recent_tweet_id pinned_tweet_id"),
    _words("id text edit_history_tweet_ids"),
    _words("end start tweet_count"),
)
POST = Vocabulary(
    "post",
    _SHARED_TWEET_FIELDS | _words("article_title note_post"),
    _SHARED_EXPANSIONS | _words("edit_history_post_ids referenced_posts username"),
    _SHARED_USER_FIELDS | _words("subscribes_to_you"),
    _words("affiliation most_recent_post_id pinned_post_id"),
    _words("id text"),
    _words("end start post_count"),
)
VOCABULARIES = {"tweet": TWEET, "post": POST}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants to see, including the defaults."""

    vocabulary: Vocabulary
    tweet: frozenset[str]
    user: frozenset[str]
    media: frozenset[str]
    place: frozenset[str]
    poll: frozenset[str]
    expansions: frozenset[str]


def spoken(params: Mapping[str, str], default: Vocabulary) -> Vocabulary:
    """The vocabulary that a request uses."""
    said: set[str] = set()
    for name in ("expansions", "user.fields", "search_count.fields"):
        said.update(params.get(name, "").split(","))
    for vocabulary, other in ((POST, TWEET), (TWEET, POST)):
        own = (
            vocabulary.tweet_expansions
            | vocabulary.user_expansions
            | vocabulary.user_fields
            | vocabulary.count_fields
        )
        others = other.tweet_expansions | other.user_expansions | other.user_fields | other.count_fields
        if vocabulary.fields_parameter in params or said & (own - others):
            return vocabulary
    return default


def read_wanted(
    params: Mapping[str, str], vocabulary: Vocabulary, of_users: bool
) -> tuple[Wanted, list[Fault]]:
    """A request's fields and expansions, with the faults for which X would answer 400."""
    faults: list[Fault] = []
    other = TWEET if vocabulary is POST else POST
    if other.fields_parameter in params:
        text = f"The query parameter [{other.fields_parameter}] cannot be used with [{vocabulary.fields_parameter}]"
        faults.append((other.fields_parameter, params[other.fields_parameter], text))

    def chosen(name: str, allowed: frozenset[str], always: frozenset[str] = frozenset()) -> frozenset[str]:
        if name not in params:
            return always
        values = frozenset(params[name].split(","))
        for wrong in sorted(values - allowed):
            text = f"The `{name}` query parameter value [{wrong}] is not one of [{','.join(sorted(allowed))}]"
            faults.append((name, wrong, text))
        return (values & allowed) | always

    expansions = vocabulary.user_expansions if of_users else vocabulary.tweet_expansions
    wanted = Wanted(
        vocabulary,
        chosen(vocabulary.fields_parameter, vocabulary.tweet_fields, vocabulary.default_tweet_fields),
        chosen("user.fields", vocabulary.user_fields, _words("id name username")),
        chosen("media.fields", MEDIA_FIELDS, _words("media_key type")),
        chosen("place.fields", PLACE_FIELDS, _words("id full_name")),
        chosen("poll.fields", POLL_FIELDS, _words("id options")),
        chosen("expansions", expansions),
    )
    return wanted, faults
