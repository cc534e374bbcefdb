"""twitter.tweets: what X says of a tweet."""

from twitter_pipeline.warehouse.model.columns import (
    CODE,
    CODES,
    COUNT,
    FLAG,
    ID,
    IDS,
    INSTANT,
    INTEGERS,
    JSON,
    KEY,
    TEXT,
    UUID,
    Column,
    Group,
)
from twitter_pipeline.warehouse.model.table import LOADED_AT, Table

PUBLIC_METRICS = (
    Column(
        "retweet_count",
        COUNT,
        "Retweets; of a retweet, those of its original.",
        source=("public_metrics.retweet_count", "public_metrics.repost_count"),
    ),
    Column("reply_count", COUNT, "Replies.", source="public_metrics.reply_count"),
    Column("like_count", COUNT, "Likes; X says 0 for every retweet.", source="public_metrics.like_count"),
    Column("quote_count", COUNT, "Quotes.", source="public_metrics.quote_count"),
    Column("bookmark_count", COUNT, "Bookmarks.", source="public_metrics.bookmark_count"),
    Column("impression_count", COUNT, "How often it was shown.", source="public_metrics.impression_count"),
)

TWEETS = Table(
    "tweets",
    "One row per tweet. is_collected: it came as data of a rule, not only as an include of another tweet.",
    key_columns=(
        Column("id", ID, "X's id of the tweet.", source="id", by_code=True, limits={"valid_min": 0}),
    ),
    fixed_columns=(
        Column("author_id", ID, "The account that posted it; a row of users.", source="author_id"),
        Column(
            "created_at",
            INSTANT,
            "When it was posted: as X says, else by the time in the id (is_created_at_derived).",
            source="created_at",
            by_code=True,
        ),
        Column("conversation_id", ID, "The tweet that began the conversation.", source="conversation_id"),
        Column("in_reply_to_user_id", ID, "The account that it replies to.", source="in_reply_to_user_id"),
        Column(
            "community_id", ID, "The community that it was posted in.", source="community_id", is_served=False
        ),
    ),
    grown_columns=(
        Column(
            "edit_history_ids",
            IDS,
            "Ids of the tweet's versions, oldest first; the last one is the current text.",
            source=("edit_history_tweet_ids", "edit_history_post_ids"),
            is_served=False,
        ),
    ),
    grouped=(
        Group(
            "text_version",
            (
                Column(
                    "text",
                    TEXT,
                    "The text, of up to 280 characters, as X sends it.",
                    source="text",
                    by_code=True,
                ),
                Column(
                    "note_text",
                    TEXT,
                    "The whole text of a long post; null where text is all of it.",
                    source=("note_tweet.text", "note_post.text"),
                    by_code=True,
                ),
                Column(
                    "lang",
                    TEXT,
                    "Language by X's detection, BCP 47; und: not recognised.",
                    source="lang",
                ),
                Column(
                    "display_text_range",
                    INTEGERS,
                    "Where in text the part begins and ends that X shows, in code points, the end exclusive: without the"
                    " names that a reply begins with, and without the link of its media.",
                    source="display_text_range",
                ),
            ),
            "Of text, note_text, lang and display_text_range together: each belongs to the text that it came with.",
        ),
        Group(
            "source_version", (Column("source", TEXT, "The app that it was posted with.", source="source"),)
        ),
        Group(
            "media_keys_version",
            (Column("media_keys", CODES, "Keys of the attached media.", source="attachments.media_keys"),),
        ),
        Group(
            "poll_ids_version",
            (
                Column(
                    "poll_ids",
                    CODES,
                    "Ids of the attached polls.",
                    source="attachments.poll_ids",
                    is_served=False,
                ),
            ),
        ),
        Group(
            "place_id_version",
            (
                Column(
                    "place_id",
                    CODE,
                    "The place that its author tagged.",
                    source="geo.place_id",
                    is_served=False,
                ),
            ),
        ),
        Group(
            "entities_version",
            (
                Column(
                    "entities",
                    JSON,
                    "The set of hashtags, mentions and links as X gave it; tweet_hashtags, tweet_mentions and tweet_urls"
                    " are derived from it.",
                    source=("entities", "note_tweet.entities", "note_post.entities"),
                    by_code=True,
                ),
                Column(
                    "entities_text_hash",
                    UUID,
                    "md5 of the text that the positions in entities belong to; they are shown while that is the text of"
                    " the tweet.",
                    by_code=True,
                ),
            ),
        ),
        Group(
            "possibly_sensitive_version",
            (
                Column(
                    "possibly_sensitive",
                    FLAG,
                    "Whether X marks its links and media as possibly sensitive.",
                    source="possibly_sensitive",
                ),
            ),
        ),
        Group(
            "reply_settings_version",
            (Column("reply_settings", TEXT, "Who may reply.", source="reply_settings", is_served=False),),
        ),
        Group(
            "withheld_version",
            (
                Column(
                    "withheld_copyright",
                    FLAG,
                    "Whether it is withheld for a copyright claim.",
                    source="withheld.copyright",
                    is_served=False,
                ),
                Column(
                    "withheld_country_codes",
                    CODES,
                    "Countries in which X does not show it, ISO 3166 (XX: all, XY: by request of an authority).",
                    source="withheld.country_codes",
                ),
            ),
        ),
        Group("metrics_version", PUBLIC_METRICS, is_silent=True),
    ),
    any_columns=(
        Column("is_collected", FLAG, "It came as data of a rule.", by_code=True, is_served=False),
        Column(
            "is_sanitized",
            FLAG,
            "Characters that PostgreSQL cannot hold were replaced; raw has it as it was.",
            by_code=True,
            is_served=False,
        ),
    ),
    all_columns=(
        Column(
            "is_created_at_derived",
            FLAG,
            "created_at is the time in the id, not X's word.",
            by_code=True,
            is_served=False,
        ),
    ),
    by_database=(LOADED_AT,),
    raw_only=frozenset(
        {
            "article",
            "article_title",
            "card_uri",
            "context_annotations",
            "edit_controls",
            "matched_media_notes",
            "media_metadata",
            "non_public_metrics",
            "note_request_suggestions",
            "organic_metrics",
            "paid_partnership",
            "promoted_metrics",
            "scopes",
            "suggested_source_links",
            "suggested_source_links_with_counts",
            "username",
        }
    ),
)

TWEET_TEXTS = Table(
    "tweet_texts",
    "The text of each tweet (the long one where there is one) as searches compare it: entities unescaped, NFC,"
    " case-folded; trigrams of its words, one a line.",
    key_columns=(Column("tweet_id", ID, "The tweet."),),
    grouped=(
        Group(
            "version",
            (
                Column("text", TEXT, "The text in the form that is compared.", is_null=False),
                Column("trigrams", TEXT, "The trigrams of its words, one a line.", is_null=False),
            ),
            "The tweet's text_version that it was made from.",
            is_null=False,
        ),
    ),
)

TWEET_RULES = Table(
    "tweet_rules",
    "Which rules brought which tweets.",
    key_columns=(Column("tweet_id", ID, "The tweet."), Column("rule", KEY, "Name of the rule.")),
)

TWEET_REFERENCES = Table(
    "tweet_references",
    "replied_to, quoted, retweeted: the tweet it points at may be absent, X does not always give it.",
    key_columns=(
        Column("tweet_id", ID, "The tweet that refers to another."),
        Column("type", KEY, "replied_to, quoted or retweeted.", limits={"valid_min_length": 1}),
        Column(
            "referenced_tweet_id",
            ID,
            "The tweet that it refers to.",
            source=("referenced_tweets.id", "referenced_posts.id"),
            by_code=True,
        ),
    ),
)

TWEET_METRICS = Table(
    "tweet_metrics",
    "Every observation of the public metrics, appended. Retweets always show zero likes and the count of the original:"
    " never sum over retweets.",
    key_columns=(
        Column("tweet_id", ID, "The tweet."),
        Column("observed_at", INSTANT, "When X said so."),
    ),
    grouped=(Group("version", PUBLIC_METRICS, is_null=False),),
)
