"""The world is the same every time, and looks like the real answers that were measured (x-api-v2.md §9)."""

import time
from itertools import pairwise
from typing import Any

import pytest

from x_api_simulator.clock import Clock, first_id, moment_of
from x_api_simulator.growth import HISTORY_TWEETS
from x_api_simulator.query import parse_query
from x_api_simulator.tweets import Tweet
from x_api_simulator.world import World

EPOCH_MS = 1_772_323_200_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def world() -> World:
    grown = World(11, EPOCH_MS, 2.0)
    grown.grow(EPOCH_MS + HOUR_MS)
    return grown


def _picture(tweet: Tweet) -> tuple[Any, ...]:
    return (
        tweet.id,
        tweet.author.username,
        tweet.text,
        tweet.spans,
        tweet.refs,
        tweet.deleted_ms,
        tweet.versions,
    )


def test_the_world_does_not_depend_on_the_steps_it_grew_in(world: World) -> None:
    """One leap and a thousand small steps give the same tweets."""
    stepwise = World(11, EPOCH_MS, 2.0)
    for moment in range(EPOCH_MS, EPOCH_MS + HOUR_MS + 1, 3_600):
        stepwise.grow(moment)
    assert [_picture(t) for t in stepwise.tweets.values()] == [_picture(t) for t in world.tweets.values()]


def test_another_seed_is_another_world(world: World) -> None:
    """Seeds differ in people and in tweets."""
    other = World(12, EPOCH_MS, 2.0)
    other.grow(EPOCH_MS + HOUR_MS)
    assert not set(other.tweets) & set(world.tweets)


def test_what_the_control_door_does_never_changes_what_grows(world: World) -> None:
    """Deleting and adding tweets halfway does not change any later tweet of the seed."""
    disturbed = World(11, EPOCH_MS, 2.0)
    disturbed.grow(EPOCH_MS + HOUR_MS // 2)
    for tweet in list(disturbed.tweets.values())[-200:]:
        disturbed.remove(tweet, EPOCH_MS + HOUR_MS // 2)
    author = disturbed.user_named("newcomer", EPOCH_MS)
    disturbed.add(Tweet(disturbed.free_id(EPOCH_MS), EPOCH_MS, author, "en", "hello"))
    disturbed.grow(EPOCH_MS + HOUR_MS)
    grown = [_picture(t) for t in disturbed.tweets.values() if t.author is not author]
    assert grown == [_picture(t) for t in world.tweets.values()]


def test_there_is_history_at_the_epoch_and_growth_after_it(world: World) -> None:
    """A few hundred tweets lie before the epoch; after it they come at the rate."""
    before = sum(tweet.at_ms < EPOCH_MS for tweet in world.tweets.values())
    assert 0.8 * HISTORY_TWEETS < before < 1.2 * HISTORY_TWEETS
    assert 0.9 * 7_200 < len(world) - before < 1.1 * 7_200


def test_a_hundred_thousand_tweets_are_there_in_seconds() -> None:
    """A restart after half a day at two tweets per second is fast."""
    started = time.process_time()  # of the processor alone: a busy machine is no fault of the world
    large = World(7, EPOCH_MS, 2.0)
    large.grow(EPOCH_MS + 50_000_000)
    assert len(large) > 99_000
    assert time.process_time() - started < 15


def test_ids_are_snowflakes_of_their_moment_and_rise(world: World) -> None:
    """An id tells its millisecond, fits into 63 bits, and later tweets have larger ids."""
    ids = list(world.tweets)
    assert ids == sorted(ids)
    assert max(ids) < 2**63
    assert all(moment_of(tweet.id) == tweet.at_ms for tweet in world.tweets.values())


def test_offsets_count_code_points_on_escaped_text(world: World) -> None:
    """Hashtags, mentions and links end exclusive, annotations inclusive, on the text with HTML entities."""
    checked = {"after_astral": 0, "after_entity": 0}
    for tweet in world.tweets.values():
        texts = [(tweet.text, tweet.spans)] + ([tweet.note] if tweet.note else [])
        for text, spans in texts:
            for kind, start, end, value, _ in spans:
                marks = {"hashtag": "#", "cashtag": "$", "mention": "@"}
                expected = marks.get(kind, "") + value
                assert text[start : end + (kind == "annotation")] == expected
                checked["after_astral"] += any(ord(c) > 0xFFFF for c in text[:start])
                checked["after_entity"] += "&amp;" in text[:start]
    assert min(checked.values()) > 100


def test_retweets_look_as_x_sends_them(world: World) -> None:
    """ "RT @name:", most of them cut with "…", some without the attachments of their originals."""
    retweets = [tweet for tweet in world.tweets.values() if tweet.original is not None]
    cut = [tweet for tweet in retweets if tweet.text.endswith("…")]
    assert all(t.text.startswith(f"RT @{t.original.author.username}: ") for t in retweets if t.original)
    assert all(len(tweet.text) <= 140 for tweet in retweets)
    assert 0.4 < len(cut) / len(retweets) < 0.95
    assert any(t.original.media and not t.media for t in retweets if t.original)
    assert all(t.original.kind() != "retweeted" for t in retweets if t.original)


def test_the_world_holds_every_kind_of_thing(world: World) -> None:
    """Replies, quotes, media, polls, places, long posts, edits, withheld and deleted tweets, many scripts."""
    tweets = list(world.tweets.values())
    kinds = {tweet.kind() for tweet in tweets}
    assert kinds == {"original", "replied_to", "quoted", "retweeted"}
    assert {tweet.lang for tweet in tweets} >= {"en", "ja", "ar", "hi", "ru", "ko", "es", "und"}
    assert {key.split("_")[0] for tweet in tweets for key in tweet.media} == {"3", "7", "13", "16"}
    for holds in (
        lambda t: t.poll_id,
        lambda t: t.place >= 0,
        lambda t: t.note,
        lambda t: t.withheld,
        lambda t: t.deleted_ms < EPOCH_MS + HOUR_MS,
        lambda t: any(span[0] == "cashtag" for span in t.spans),
        lambda t: len(t.versions) > 2,
    ):
        assert any(holds(tweet) for tweet in tweets)


def test_few_authors_and_hashtags_are_everywhere(world: World) -> None:
    """The first tenth of the authors writes most of the tweets; the first hashtag is far above the last."""
    wrote = sorted(
        (world.written_by(user.id, EPOCH_MS + HOUR_MS) for user in world.most_active), reverse=True
    )
    assert sum(wrote[:150]) > sum(wrote) / 2
    used = [span[3] for tweet in world.tweets.values() for span in tweet.spans if span[0] == "hashtag"]
    assert used.count("coffee") > 10 * max(1, used.count("niño"))


def test_edits_replace_their_predecessor(world: World) -> None:
    """Of a chain, exactly the newest version is found at any moment after it was indexed."""
    chains = {
        tuple(tweet.versions): tweet.versions for tweet in world.tweets.values() if len(tweet.versions) > 1
    }
    assert chains
    for versions in chains.values():
        at_ms = world.tweets[versions[-1]].indexed_ms
        assert [n for n in versions if world.tweets[n].found_at(at_ms)] == [versions[-1]]
        before = world.tweets[versions[0]].superseded_ms - 1
        assert world.tweets[versions[0]].found_at(before)


def test_tweets_come_into_the_index_late(world: World) -> None:
    """Some tweets are searchable before one with a smaller id is: why polls need an overlap."""
    indexed = [tweet.indexed_ms for tweet in world.tweets.values()]
    assert any(later < earlier for earlier, later in pairwise(indexed))
    assert max(t.indexed_ms - t.at_ms for t in world.tweets.values()) <= 9_000


def test_asking_again_only_reads_what_is_new() -> None:
    """A query over a grown world is answered from what was found before."""
    grown = World(7, EPOCH_MS, 2.0, Clock(frozen_at_ms=EPOCH_MS + 3 * HOUR_MS))
    grown.now_ms()
    query = parse_query('"the smell of rain"')
    first = list(grown.ids_matching(query))
    started = time.perf_counter()
    for _ in range(100):
        grown.ids_matching(query)
    assert time.perf_counter() - started < 0.5
    grown.grow(EPOCH_MS + 4 * HOUR_MS)
    again = grown.ids_matching(query)
    assert again[: len(first)] == first
    assert len(again) > len(first)
    assert again[-1] >= first_id(EPOCH_MS + 3 * HOUR_MS)


def test_the_default_world_keeps_its_best_known_accounts() -> None:
    """Sample rules name the two most active accounts of seed 7; they must not change under them."""
    assert [user.username for user in World(7, EPOCH_MS, 2.0).most_active[:2]] == ["Mada", "Kekekitili"]
