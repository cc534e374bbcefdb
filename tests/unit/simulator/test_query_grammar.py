"""Which queries recent search accepts, and what they match."""

import re
from typing import Any

import pytest

from x_api_simulator.query import QueryError, parse_query

EVERYTHING = ",".join(
    [
        "author_id",
        "conversation_id",
        "entities",
        "lang",
        "referenced_tweets",
        "in_reply_to_user_id",
        "note_tweet",
        "attachments",
        "geo",
    ]
)


@pytest.mark.parametrize(
    "query",
    [
        "coffee",
        "☕️",
        '"fresh coffee"',
        "#coffee -is:retweet",
        "(from:Mada OR to:Mada) lang:en",
        "coffee (football OR music) -has:links",
        "$LUMO",
        "@Mada has:mentions",
        'url:"https://news.example.org"',
        "conversation_id:2124802337798788110",
        "coffee -is:nullcast",
        "-coffee tea",
        "x" * 512,
    ],
)
def test_valid_queries_are_accepted(query: str) -> None:
    """What the documentation allows is parsed."""
    assert parse_query(query).text == query


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "non-empty"),
        ("x" * 513, "512"),
        ("min_faves:5 coffee", "invalid operator 'min_faves'"),
        ("min_retweets:5 coffee", "invalid operator 'min_retweets'"),
        ("nonsense:1", "invalid operator 'nonsense'"),
        ("is:retweet", "standalone"),
        ("lang:en has:media", "standalone"),
        ("-coffee", "standalone"),
        ("coffee OR is:reply", "standalone"),
        ("-(coffee tea)", "group cannot be negated"),
        ("(coffee", "missing '\\)'"),
        ("coffee)", "unexpected"),
        ("coffee OR", "expected an operator"),
        ("()", "expected an operator"),
        ('"open', "no viable alternative"),
        ("coffee is:nullcast", "must be negated"),
        ("coffee is:happy", "'is:'"),
        ("coffee has:soul", "'has:'"),
        ("coffee lang:klingon", "lang"),
        ("from:", "no value"),
        ("from:a-b", "no username"),
        ("conversation_id:x", "no post id"),
        ("context:131.1", "no data"),
    ],
)
def test_broken_queries_say_what_is_wrong(query: str, reason: str) -> None:
    """Each broken rule has its own message."""
    with pytest.raises(QueryError, match=reason):
        parse_query(query)


def test_a_refused_query_is_a_400_of_x(simulator: Any) -> None:
    """min_faves:, which X refuses, answers 400 with an invalid-request problem about `query`."""
    answer = simulator.get("/2/tweets/search/recent", query="coffee min_faves:3")
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/invalid-request")
    assert "query" in answer.json()["errors"][0]["parameters"]


def _words(tweet: dict[str, Any]) -> str:
    return f"{tweet['text']} {tweet.get('note_tweet', {}).get('text', '')}".lower()


def _kinds(tweet: dict[str, Any]) -> set[str]:
    return {ref["type"] for ref in tweet.get("referenced_tweets", [])}


def _entities(tweet: dict[str, Any], kind: str, key: str) -> list[str]:
    both = (tweet.get("entities", {}), tweet.get("note_tweet", {}).get("entities", {}))
    return [one[key].lower() for entities in both for one in entities.get(kind, [])]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("coffee", lambda t: re.search(r"\bcoffee\b", _words(t))),
        ('"fresh coffee"', lambda t: "fresh coffee" in _words(t)),
        (
            "#coffee -is:retweet",
            lambda t: "coffee" in _entities(t, "hashtags", "tag") and "retweeted" not in _kinds(t),
        ),
        ("コーヒー", lambda t: "コーヒー" in _words(t)),
        ("🚀 lang:en", lambda t: "🚀" in _words(t) and t["lang"] == "en"),
        (
            "(football OR music) has:links",
            lambda t: re.search(r"\b(football|music)\b", _words(t)) and _entities(t, "urls", "url"),
        ),
        (
            "coffee has:media",
            lambda t: re.search(r"\bcoffee\b", _words(t)) and t.get("attachments", {}).get("media_keys"),
        ),
        ("python is:quote", lambda t: re.search(r"\bpython\b", _words(t)) and "quoted" in _kinds(t)),
        ("climate is:reply", lambda t: re.search(r"\bclimate\b", _words(t)) and "replied_to" in _kinds(t)),
        (
            "url:news.example.org",
            lambda t: any("news.example.org" in u for u in _entities(t, "urls", "expanded_url")),
        ),
        ("place_country:NO", lambda t: t.get("geo", {}).get("place_id") == "0a1b2c3d4e5f6071"),
    ],
)
def test_queries_match_what_the_tweets_carry(simulator: Any, query: str, expected: Any) -> None:
    """Checking every tweet's JSON independently gives the same ids as the truth."""
    world = simulator.world
    ids = [str(n) for n in sorted(world.tweets) if world.tweets[n].found_at(world.now_ms())]
    by_hand = []
    for start in range(0, len(ids), 100):
        page = simulator.ok("/2/tweets", ids=",".join(ids[start : start + 100]), tweet__fields=EVERYTHING)
        by_hand += [tweet["id"] for tweet in page["data"] if expected(tweet)]
    everything_up_to_now = simulator.truth(query=query, until_id=str(2**63 - 1))
    assert by_hand
    assert everything_up_to_now["ids"] == by_hand


def test_diacritics_and_case_do_not_matter(simulator: Any) -> None:
    """cafe, Café and CAFÉ are one keyword for search."""
    answers = [simulator.truth(query=query)["ids"] for query in ("cafe", "Café", "CAFÉ")]
    assert answers[0]
    assert answers[0] == answers[1] == answers[2]


def test_and_binds_tighter_than_or(simulator: Any) -> None:
    """`a b OR c` means `(a b) OR c`."""
    loose = simulator.truth(query="coffee football OR astronomy")["ids"]
    tight = simulator.truth(query="(coffee football) OR astronomy")["ids"]
    other = simulator.truth(query="coffee (football OR astronomy)")["ids"]
    assert loose == tight != other


def test_people_are_found_by_from_to_mention_and_retweets_of(simulator: Any) -> None:
    """from:, to:, @ and retweets_of: each find tweets of an active author, by name and by id."""
    user = simulator.world.most_active[0]
    for operator in ("from:", "to:", "retweets_of:"):
        by_name = simulator.truth(query=f"{operator}{user.username}")["ids"]
        assert by_name
        assert simulator.truth(query=f"{operator}{user.id}")["ids"] == by_name
    assert simulator.truth(query=f"@{user.username}")["ids"]
