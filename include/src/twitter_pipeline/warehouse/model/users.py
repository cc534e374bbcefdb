"""twitter.users: what X says of an account."""

from twitter_pipeline.warehouse.model.columns import COUNT, FLAG, ID, INSTANT, KEY, TEXT, Column, Group
from twitter_pipeline.warehouse.model.table import LOADED_AT, Table


def _alone(column: Column) -> Group:
    return Group(f"{column.name}_version", (column,))


USERS = Table(
    "users",
    "One row per account seen. An account known by id only (its object was missing) is a row with an id and nulls.",
    key_columns=(
        Column("id", ID, "X's id of the account.", source="id", by_code=True, limits={"valid_min": 0}),
    ),
    fixed_columns=(Column("created_at", INSTANT, "When the account was opened.", source="created_at"),),
    grouped=(
        Group(
            "name_version",
            (
                Column("username", KEY, "The name behind the @, as X writes it.", source="username"),
                Column("name", TEXT, "The name that is shown.", source="name"),
            ),
            is_silent=True,
        ),
        _alone(Column("description", TEXT, "What the account says of itself.", source="description")),
        _alone(Column("location", TEXT, "Where it says that it is; any text.", source="location")),
        _alone(Column("url", TEXT, "Its link, as X shortened it.", source="url")),
        _alone(Column("profile_image_url", TEXT, "Address of its picture.", source="profile_image_url")),
        _alone(Column("is_protected", FLAG, "Only followers may read it.", source="protected")),
        _alone(Column("is_verified", FLAG, "X shows a mark of verification.", source="verified")),
        _alone(Column("verified_type", TEXT, "blue, business, government or none.", source="verified_type")),
        _alone(
            Column(
                "pinned_tweet_id",
                ID,
                "The tweet on top of its profile.",
                source=("pinned_tweet_id", "pinned_post_id"),
            )
        ),
        Group(
            "metrics_version",
            (
                Column(
                    "followers_count",
                    COUNT,
                    "Accounts that follow it.",
                    source="public_metrics.followers_count",
                ),
                Column(
                    "following_count",
                    COUNT,
                    "Accounts that it follows.",
                    source="public_metrics.following_count",
                ),
                Column(
                    "tweet_count",
                    COUNT,
                    "Tweets of the account, retweets included.",
                    source=("public_metrics.tweet_count", "public_metrics.post_count"),
                ),
                Column("listed_count", COUNT, "Lists that it is on.", source="public_metrics.listed_count"),
                Column("like_count", COUNT, "Likes that it gave.", source="public_metrics.like_count"),
                Column("media_count", COUNT, "Photos and videos of it.", source="public_metrics.media_count"),
            ),
            is_silent=True,
        ),
    ),
    by_database=(LOADED_AT,),
    raw_only=frozenset(
        {
            "affiliation",
            "confirmed_email",
            "connection_status",
            "entities",
            "is_identity_verified",
            "most_recent_post_id",
            "most_recent_tweet_id",
            "parody",
            "profile_banner_url",
            "receives_your_dm",
            "subscribes_to_you",
            "subscription",
            "subscription_type",
            "verified_followers_count",
            "withheld",
        }
    ),
)
