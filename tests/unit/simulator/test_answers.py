"""What an answer holds: fields, expansions, includes and errors, in both vocabularies."""

from typing import Any

RECENT = "/2/tweets/search/recent"
REFERENCES = "referenced_tweets.id,referenced_tweets.id.author_id,author_id,entities.mentions.username"


def test_only_three_fields_come_unasked(simulator: Any) -> None:
    """id, text and edit_history_tweet_ids, and no includes."""
    page = simulator.search("coffee")
    assert set(page) == {"data", "meta"}
    assert all(set(tweet) == {"id", "text", "edit_history_tweet_ids"} for tweet in page["data"])


def test_nothing_is_null_and_nothing_is_empty(simulator: Any) -> None:
    """Empty values are left out, however deep (docs: fundamentals/consistency.mdx)."""
    fields = "attachments,entities,geo,referenced_tweets,withheld,note_tweet,context_annotations,in_reply_to_user_id"
    page = simulator.search(
        "the",
        max_results=100,
        tweet__fields=fields,
        expansions="author_id,geo.place_id,attachments.media_keys",
        user__fields="description,entities,location,url,withheld",
        media__fields="alt_text,url,public_metrics",
    )

    def walk(value: Any) -> None:
        assert value is not None
        if isinstance(value, dict):
            for name, part in value.items():
                assert part not in (None, "", [], {}) or name == "properties", name
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    walk(page)


def test_includes_hold_each_thing_once(simulator: Any) -> None:
    """Authors of a page are included once, in the order of first mention."""
    page = simulator.search("the", max_results=100, expansions="author_id")
    users = [user["id"] for user in page["includes"]["users"]]
    assert len(users) == len(set(users))
    assert set(users) <= {tweet["author_id"] for tweet in page["data"]}
    assert set(page["includes"]["users"][0]) == {"id", "name", "username"}


def test_includes_go_missing_with_and_without_errors(simulator: Any) -> None:
    """Of the referenced tweets that are not included, some are in errors and most are not."""
    untold = told = 0
    titles = set()
    params: dict[str, Any] = {"query": "the -is:retweet", "max_results": 100, "expansions": REFERENCES}
    while True:
        page = simulator.ok(RECENT, **params)
        included = {tweet["id"] for tweet in page.get("includes", {}).get("tweets", [])}
        errors = {error["resource_id"] for error in page.get("errors", [])}
        titles |= {error["title"] for error in page.get("errors", [])}
        for tweet in page["data"]:
            for ref in tweet.get("referenced_tweets", []):
                missing = ref["id"] not in included
                untold += missing and ref["id"] not in errors
                told += missing and ref["id"] in errors
        if "next_token" not in page["meta"]:
            break
        params["next_token"] = page["meta"]["next_token"]
    assert told
    assert untold > 3 * told
    assert titles <= {"Not Found Error", "Authorization Error", "Forbidden"}


def test_retweets_repeat_the_count_of_their_original_and_have_no_likes(simulator: Any) -> None:
    """retweet_count equals the original's, like_count is 0: never sum over retweet rows."""
    page = simulator.search(
        "the is:retweet", max_results=100, tweet__fields="public_metrics", expansions="referenced_tweets.id"
    )
    originals = {tweet["id"]: tweet for tweet in page["includes"]["tweets"]}
    for tweet in page["data"]:
        original = originals[tweet["referenced_tweets"][0]["id"]]
        assert tweet["public_metrics"]["retweet_count"] == original["public_metrics"]["retweet_count"] > 0
        assert tweet["public_metrics"]["like_count"] == 0


def test_metrics_grow_with_time_and_never_fall(start: Any) -> None:
    """The same tweet an hour later has at least as much of everything."""
    simulator = start(rate=0.5)
    ids = ",".join(simulator.truth(query="coffee -is:retweet")["ids"][:100])
    before = simulator.ok("/2/tweets", ids=ids, tweet__fields="public_metrics")["data"]
    simulator.control("clock", {"advance_seconds": 3600})
    after = {t["id"]: t for t in simulator.ok("/2/tweets", ids=ids, tweet__fields="public_metrics")["data"]}
    grew = False
    for tweet in (tweet for tweet in before if tweet["id"] in after):
        for name, value in tweet["public_metrics"].items():
            assert after[tweet["id"]]["public_metrics"][name] >= value
            grew = grew or after[tweet["id"]]["public_metrics"][name] > value
    assert grew


def test_edited_tweets_show_their_chain(simulator: Any) -> None:
    """The newest version lists all ids, the expansion includes every version, edits_remaining counts down."""
    world = simulator.world
    chain = next(t.versions for t in world.tweets.values() if len(t.versions) > 1 and t.id == t.versions[-1])
    answer = simulator.ok(
        "/2/tweets", ids=str(chain[-1]), tweet__fields="edit_controls", expansions="edit_history_tweet_ids"
    )
    assert answer["data"][0]["edit_history_tweet_ids"] == [str(n) for n in chain]
    assert [tweet["id"] for tweet in answer["includes"]["tweets"]] == [str(n) for n in chain]
    assert answer["data"][0]["edit_controls"]["edits_remaining"] == 6 - len(chain)


def test_long_posts_carry_their_whole_text_in_note_tweet(simulator: Any) -> None:
    """`text` is a beginning with "…" and a link; note_tweet has everything with its own entities."""
    long = next(
        t for t in simulator.world.tweets.values() if t.note and t.exists_at(simulator.world.now_ms())
    )
    tweet = simulator.ok("/2/tweets", ids=str(long.id), tweet__fields="note_tweet,entities")["data"][0]
    assert len(tweet["text"]) <= 280 < len(tweet["note_tweet"]["text"])
    assert "…" in tweet["text"]
    assert tweet["entities"]["urls"][-1]["expanded_url"].endswith(f"/i/web/status/{long.id}")


def test_the_post_vocabulary_renames_and_moves(simulator: Any) -> None:
    """post.fields drops author_id and referenced_tweets; expansions bring them, under the names of 2.167."""
    plain = simulator.search("the", post__fields="public_metrics")
    assert all(set(post) == {"id", "text", "public_metrics"} for post in plain["data"])
    assert "repost_count" in plain["data"][0]["public_metrics"]
    full = simulator.search(
        "the has:mentions",
        max_results=100,
        post__fields="note_post,entities",
        expansions="author_id,referenced_posts,edit_history_post_ids,username",
    )
    assert {"author_id", "username", "edit_history_post_ids"} <= set(full["data"][0])
    assert "posts" in full["includes"]
    assert "tweets" not in full["includes"]
    assert any("referenced_posts" in post for post in full["data"])
    assert simulator.get(RECENT, query="the", post__fields="author_id").status_code == 400


def test_lookups_tell_what_they_cannot_find(simulator: Any) -> None:
    """Unknown, deleted and suspended things are partial errors in a 200."""
    world = simulator.world
    deleted = next(t for t in world.tweets.values() if t.gone_ms() < world.now_ms())
    alive = simulator.truth(query="coffee")["ids"][0]
    answer = simulator.ok("/2/tweets", ids=f"{alive},{deleted.id},1")
    assert [tweet["id"] for tweet in answer["data"]] == [alive]
    assert [error["resource_id"] for error in answer["errors"]] == [str(deleted.id), "1"]
    suspended = next(user for user in world.users.values() if user.state == "suspended")
    answer = simulator.ok("/2/users/by", usernames=f"{suspended.username},nobody_here")
    assert "data" not in answer
    assert [error["title"] for error in answer["errors"]] == ["Forbidden", "Not Found Error"]
    assert all(error["type"].endswith("/resource-not-found") for error in answer["errors"])


def test_users_are_found_by_name_in_any_case_and_by_id(simulator: Any) -> None:
    """Both lookups give the same user."""
    user = simulator.world.most_active[3]
    by_name = simulator.ok("/2/users/by", usernames=user.username.upper(), user__fields="public_metrics")
    by_id = simulator.ok("/2/users", ids=str(user.id), user__fields="public_metrics")
    assert by_name == by_id
    assert by_id["data"][0]["public_metrics"]["tweet_count"] > 0


def test_a_protected_timeline_is_not_shown(simulator: Any) -> None:
    """ "Authorization Error" with type not-authorized-for-resource."""
    user = next(user for user in simulator.world.users.values() if user.state == "protected")
    answer = simulator.ok(f"/2/users/{user.id}/tweets")
    assert answer["errors"][0]["title"] == "Authorization Error"
    assert answer["errors"][0]["type"].endswith("/not-authorized-for-resource")


def test_private_metrics_are_refused_field_by_field(simulator: Any) -> None:
    """An app-only token gets an error per tweet instead of the field."""
    page = simulator.search("coffee", tweet__fields="non_public_metrics")
    assert len(page["errors"]) == 10
    assert page["errors"][0]["field"] == "non_public_metrics"
