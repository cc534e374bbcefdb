"""What answers look like, for the OpenAPI document. A test holds real answers to these shapes."""

from typing import Any

_TWEET: dict[str, Any] = {
    "id": "2124816748540101560",
    "created_at": "2026-11-23T11:06:40.000Z",
    "text": "The crema on this one #coffee",
    "note_text": None,
    "lang": "en",
    "author": {"id": "1480000000000000007", "username": "Mada", "name": "Mada"},
    "conversation_id": "2124816748540101560",
    "in_reply_to_user_id": None,
    "references": [{"type": "quoted", "id": "2124816000000000001"}],
    "hashtags": ["coffee"],
    "mentions": ["kekekitili"],
    "urls": ["https://example.org/beans"],
    "media_keys": ["3_2124816748540101000"],
    "rules": ["coffee"],
    "possibly_sensitive": False,
    "withheld_country_codes": [],
    "metrics": {
        "retweet_count": 2,
        "reply_count": 1,
        "like_count": 14,
        "quote_count": 0,
        "bookmark_count": 3,
        "impression_count": 902,
        "observed_at": "2026-11-23T11:07:15.250000Z",
    },
}
_USER: dict[str, Any] = {
    "id": "1480000000000000007",
    "username": "Mada",
    "name": "Mada",
    "created_at": "2022-01-09T00:00:00.000Z",
    "description": "Roasts at night.",
    "location": "Nairobi",
    "url": None,
    "profile_image_url": None,
    "is_protected": False,
    "is_verified": False,
    "verified_type": "none",
    "pinned_tweet_id": None,
    "collected_tweet_count": 31,
    "metrics": {
        "followers_count": 310,
        "following_count": 12,
        "tweet_count": 4021,
        "listed_count": 3,
        "like_count": 900,
        "media_count": 41,
        "observed_at": "2026-11-23T11:07:15.250000Z",
    },
}
EXAMPLES: dict[str, Any] = {
    "tweets": {"data": [_TWEET], "meta": {"count": 1, "next_cursor": "2124816748540101560.9f86d081"}},
    "tweet": _TWEET,
    "users": {"data": [_USER], "meta": {"count": 1, "next_cursor": None}},
    "user": _USER,
    "hashtags": {
        "data": [{"tag": "coffee", "display_tag": "Coffee", "tweet_count": 120, "author_count": 87}],
        "meta": {"since": "2026-11-22T11:00:00.000Z", "until": "2026-11-23T11:00:00.000Z"},
    },
    "counts": {
        "data": [{"start": "2026-11-23T10:00:00Z", "tweet_count": 482}],
        "meta": {"total": 482, "since": "2026-11-23T10:00:00.000Z", "until": "2026-11-23T11:00:00.000Z"},
    },
    "pipeline": {
        "stages": [
            {
                "stage": "landing",
                "count": 4871,
                "lag": 0,
                "newest": "2026-11-23T11:06:48+00:00",
                "last_error": None,
                "answers": True,
                "age_seconds": 3.2,
            }
        ],
        "dead_letters": {"landing": 0, "transform": 0},
        "gaps": 0,
        "lost_pages": 0,
        "spend": {"month_usd": "0", "budget_usd": None},
        "contracts": [
            {"contract": "twitter.tweets", "failed": 0, "checked_at": "2026-11-23T11:05:00+00:00"},
        ],
        "accounts": [
            {
                "username": "ada",
                "user_id": "7",
                "state": "protected",
                "since": "2026-11-20T08:00:00+00:00",
                "reason": "Authorization Error: Sorry, you are not authorized to see the user with id: [7].",
                "rules": ["newsroom"],
            }
        ],
        "x_api_url": "https://api.x.com",
        "broker": "apache-kafka",
        "looked_at": "2026-11-23T11:06:51+00:00",
        "age_seconds": 1.2,
    },
}

_PROBLEM = {
    "application/problem+json": {
        "example": {
            "type": "about:blank",
            "title": "Unusable parameters",
            "status": 422,
            "detail": "limit: give a whole number",
            "errors": [{"parameter": "limit", "detail": "give a whole number"}],
        }
    }
}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "A cursor that no answer gave, or of other filters.", "content": _PROBLEM},
    401: {"description": "No token, or one that is not valid.", "content": _PROBLEM},
    403: {"description": "A user who may not read here.", "content": _PROBLEM},
    404: {"description": "There is no such thing here.", "content": _PROBLEM},
    422: {"description": "Parameters that cannot be used, each by name.", "content": _PROBLEM},
    503: {"description": "PostgreSQL is away, busy or locked; see Retry-After.", "content": _PROBLEM},
    504: {"description": "The query took too long; narrow it down.", "content": _PROBLEM},
}
