"""Example answers for the OpenAPI document. A test checks real answers against these shapes."""

from typing import Any

from twitter_pipeline.serving.columns import TWEET, USER, example

_TWEET, _USER = example(TWEET), example(USER)
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
                "stage": "land",
                "count": 4871,
                "lag": 0,
                "newest": "2026-11-23T11:06:48+00:00",
                "last_error": None,
                "answers": True,
                "age_seconds": 3.2,
            }
        ],
        "dead_letters": {"land": 0, "transform": 0},
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

PROBLEM: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unusable parameters",
    "status": 422,
    "detail": "limit: give a whole number",
    "errors": [{"parameter": "limit", "detail": "give a whole number"}],
}
