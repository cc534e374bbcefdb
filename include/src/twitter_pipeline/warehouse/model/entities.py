"""twitter.hashtags, and the three tables that PostgreSQL derives of a tweet's set of entities (migration 0006)."""

from twitter_pipeline.warehouse.model.columns import ID, INSTANT, INTEGER, KEY, TEXT, Column
from twitter_pipeline.warehouse.model.table import Table

TWEET_ID = Column("tweet_id", ID, "The tweet.")
PLACE = (
    Column(
        "start_index",
        INTEGER,
        "Where it begins in the text, in code points; null where it has no place in it.",
    ),
    Column("end_index", INTEGER, "Where it ends, exclusive."),
)

HASHTAGS = Table(
    "hashtags",
    "Hashtags in normal form (NFC, case-folded); display_tag is one spelling that was used.",
    key_columns=(Column("tag", KEY, "The hashtag in normal form, without the sign."),),
    fixed_columns=(
        Column("display_tag", TEXT, "One spelling that was used.", is_null=False),
        Column("first_used_at", INSTANT, "When the oldest tweet with it was posted."),
    ),
    by_database=(
        Column(
            "search_tag",
            TEXT,
            "The normal form of a tag that an older version stored otherwise; null where tag is in normal form.",
        ),
    ),
)

TWEET_HASHTAGS = Table(
    "tweet_hashtags",
    "Hashtags of a tweet, once each; indexes count Unicode code points of text, end exclusive, null when only the long"
    " text has it or the text has changed since.",
    key_columns=(TWEET_ID, Column("tag", KEY, "The hashtag; a row of hashtags.")),
    by_database=PLACE,
    is_derived=True,
)

TWEET_MENTIONS = Table(
    "tweet_mentions",
    "Accounts mentioned, once each, username in lower case; X often leaves the id out. Indexes as in tweet_hashtags.",
    key_columns=(TWEET_ID, Column("username", KEY, "Name of the account, in lower case.")),
    by_database=(Column("user_id", ID, "Its id, where X gave it."), *PLACE),
    is_derived=True,
)

TWEET_URLS = Table(
    "tweet_urls",
    "Links and media of a tweet as X shortened and resolved them, by their place (ordinal) in its set of entities: one"
    " link leads to several photos, and some media have no link.",
    key_columns=(TWEET_ID, Column("ordinal", INTEGER, "Its place among the tweet's links, from 0.")),
    by_database=(
        Column("url", TEXT, "The link as it stands in the text."),
        Column("expanded_url", TEXT, "Where it leads."),
        Column("display_url", TEXT, "How X shows it."),
        Column("unwound_url", TEXT, "Where it leads after all redirects."),
        Column("title", TEXT, "Title of the page."),
        Column("description", TEXT, "Description of the page."),
        Column("media_key", TEXT, "The media that it stands for."),
        *PLACE,
    ),
    is_derived=True,
)
