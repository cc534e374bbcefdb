"""Archives of tweets in a vocabulary other than that of X's API version 2, and what to call them.

They are recognised by names that version 2 does not have. Guessing the corresponding version 2 fields would put half a
tweet into the tables and present it as complete.
"""

import re
from collections.abc import Callable, Set
from typing import Any

from twitter_pipeline.archives.refusals import Unimportable

_ONLY_V2 = "only version 2 of X's API can be imported"
_GDPR = (
    "the archive that X provides to an account's owner (window.YTD...); its tweets use the vocabulary of version 1.1"
    f" of the API, and {_ONLY_V2}"
)
_VERSION_1_1 = f"from version 1.1 of the API; {_ONLY_V2}"
_OWN_EXPORT = (
    "an export of this pipeline: one row per tweet, which is less than X returned; import the archive that the tweets"
    " came from, or the messages in the raw store"
)
_V1_NAMES = frozenset(
    [
        "extended_tweet",
        "favorite_count",
        "favorited",
        "full_text",
        "id_str",
        "in_reply_to_screen_name",
        "in_reply_to_status_id",
        "in_reply_to_status_id_str",
        "is_quote_status",
        "quoted_status",
        "retweeted_status",
        "screen_name",
    ]
)
_V1_NOTICES = frozenset(
    ["delete", "limit", "scrub_geo", "status_withheld", "user_withheld", "disconnect", "friends"]
)
_V1_DATE = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d [+-]\d{4} \d{4}")
_NAMES = (
    (frozenset(["author_username", "replied_to_tweet_id"]), "own_export", _OWN_EXPORT),
    (frozenset(["author_username", "like_count", "text"]), "own_export", _OWN_EXPORT),
    (frozenset(["rawContent"]), "vocabulary", f"from the scrapers snscrape or twscrape; {_ONLY_V2}"),
    (frozenset(["renderedContent"]), "vocabulary", f"from the scraper snscrape; {_ONLY_V2}"),
    (frozenset(["tweet", "username", "link"]), "vocabulary", f"from the scraper twint; {_ONLY_V2}"),
    (frozenset(["replies_count", "retweets_count"]), "vocabulary", f"from the scraper twint; {_ONLY_V2}"),
    (
        frozenset(["rest_id"]),
        "vocabulary",
        f"from X's own web pages (GraphQL), as scrapers save them; {_ONLY_V2}",
    ),
    (
        frozenset(["legacy"]),
        "vocabulary",
        f"from X's own web pages (GraphQL), as scrapers save them; {_ONLY_V2}",
    ),
    (
        frozenset(["globalObjects"]),
        "vocabulary",
        f"from X's own web pages, as scrapers save them; {_ONLY_V2}",
    ),
    (
        frozenset(["source_platform", "item_id"]),
        "vocabulary",
        f"from Zeeschuimer, taken from X's web pages; {_ONLY_V2}",
    ),
    (
        frozenset(["objectType", "verb"]),
        "vocabulary",
        f"activity streams, as Gnip delivered them; {_ONLY_V2}",
    ),
    (
        frozenset(["actor", "postedTime"]),
        "vocabulary",
        f"activity streams, as Gnip delivered them; {_ONLY_V2}",
    ),
    (frozenset(["from_user_name"]), "vocabulary", f"from DMI-TCAT, based on version 1.1; {_ONLY_V2}"),
    (frozenset(["status_id", "screen_name"]), "vocabulary", f"from rtweet, based on version 1.1; {_ONLY_V2}"),
    (frozenset(["createdAt"]), "vocabulary", f"from a scraper with names such as createdAt; {_ONLY_V2}"),
    (frozenset(["account", "uri", "content"]), "vocabulary", f"posts from Mastodon; {_ONLY_V2}"),
    (frozenset(["cid", "record"]), "vocabulary", f"posts from Bluesky; {_ONLY_V2}"),
    (frozenset(["statuses", "search_metadata"]), "version", _VERSION_1_1),
)
_TELLTALES = frozenset().union(*(names for names, _, _ in _NAMES)) | _V1_NAMES | _V1_NOTICES
_TELLTALES |= {"user", "tweet", "_type", "statuses"}


def refuse_by_first_line(text: bytes) -> None:
    """Raise Unimportable for a file recognised by a line that is not JSON: vocabulary, own_export."""
    if text.startswith(b"window.YTD"):
        raise Unimportable("vocabulary", _GDPR)
    if text.startswith(b"id,created_at,author_id,author_username,"):
        raise Unimportable("own_export", f"a CSV file, {_OWN_EXPORT}")


def other_vocabulary(names: Set[str], value_of: Callable[[str], Any]) -> Unimportable | None:
    """Why an object with these names is not version 2 (version, vocabulary, own_export); None if nothing says so.

    `value_of` returns the value of a name that is present.
    """
    if "." in "".join(names):
        flattened = next(name for name in names if "." in name)
        why = f"a flattened row, with names such as {flattened[:40]!r}; import the JSON it was made from"
        return Unimportable("vocabulary", why)
    if not names & _TELLTALES:
        return _by_date(names, value_of)
    if "_type" in names and str(value_of("_type")).startswith("snscrape"):
        return Unimportable("vocabulary", f"from the scraper snscrape; {_ONLY_V2}")
    for telling, reason, why in _NAMES:
        if telling <= names:
            return Unimportable(reason, why)
    if (
        names & _V1_NAMES
        or (len(names) == 1 and names & _V1_NOTICES)
        or _has(value_of, names, "user", "screen_name")
    ):
        return Unimportable("version", _VERSION_1_1)
    if names == {"tweet"} and any(_has(value_of, names, "tweet", name) for name in _V1_NAMES):
        return Unimportable("vocabulary", _GDPR)
    if "statuses" in names and (statuses := value_of("statuses")) and isinstance(statuses, list):
        first = statuses[0]
        if isinstance(first, dict) and first.keys() & _V1_NAMES:
            return Unimportable("version", _VERSION_1_1)
    return _by_date(names, value_of)


def _by_date(names: Set[str], value_of: Callable[[str], Any]) -> Unimportable | None:
    if "created_at" not in names:
        return None
    created_at = value_of("created_at")
    if isinstance(created_at, str) and not created_at[:1].isdigit() and _V1_DATE.fullmatch(created_at):
        return Unimportable("version", _VERSION_1_1)
    return None


def _has(value_of: Callable[[str], Any], names: Set[str], name: str, inner: str) -> bool:
    value = value_of(name) if name in names else None
    return isinstance(value, dict) and inner in value
