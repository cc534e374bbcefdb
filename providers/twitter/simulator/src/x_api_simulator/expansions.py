"""What accompanies an answer: includes, and the errors for whatever cannot be included.

Most missing objects are missing without a word: of 73 referenced tweets that are not in real includes, 65 have
no entry in errors; 12 of 142 media keys and 6 authors are unresolved (x-api-v2.md §9). The expansion of
edit_history_tweet_ids includes every version, even the requested one, so that a tweet appears in both data and
includes (recordings/sfm-twitter-harvester/warc_02.json).
"""

from __future__ import annotations

from typing import Any

from x_api_simulator.chance import draw
from x_api_simulator.population import PLACES, User
from x_api_simulator.problems import Error, missing, private_field
from x_api_simulator.rendering import PRIVATE_FIELDS, Json, View
from x_api_simulator.tweets import Tweet

_UNTOLD_IN_NINE = 8


class Includes:
    """Collects what a page of tweets or users refers to, each object once, in order of first mention."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._kind = view.wanted.vocabulary.name
        self._expansions = view.wanted.expansions
        self._users: dict[int, User] = {}
        self._tweets: dict[int, Tweet] = {}
        self._media: dict[str, None] = {}
        self._polls: dict[int, None] = {}
        self._places: dict[int, None] = {}
        self._errors: dict[tuple[str, str], Error] = {}

    def of_tweets(self, tweets: list[Tweet]) -> None:
        """Follow the expansions of each tweet."""
        wants = self._expansions.__contains__
        for tweet in tweets:
            if wants("author_id") or wants("username"):
                self._user(tweet.author, "author_id")
            if wants("in_reply_to_user_id") and tweet.reply_to is not None:
                self._user(tweet.reply_to, "in_reply_to_user_id")
            if wants("entities.mentions.username"):
                self._mentioned(tweet.spans)
            if wants("entities.note.mentions.username") and tweet.note is not None:
                self._mentioned(tweet.note[1])
            if wants("attachments.media_keys"):
                self._media.update(dict.fromkeys(tweet.media))
            if wants("attachments.media_source_tweet") and tweet.media and tweet.original is not None:
                self._tweet(tweet.original.id, "attachments.media_source_tweet")
            if wants("attachments.poll_ids") and tweet.poll_id:
                self._polls[tweet.poll_id] = None
            if wants("geo.place_id") and tweet.place >= 0:
                self._places[tweet.place] = None
            if wants("edit_history_tweet_ids") or wants("edit_history_post_ids"):
                for version in tweet.versions or [tweet.id]:
                    self._tweet(version, "edit_history_tweet_ids")
            self._referenced(tweet)
            self._private(tweet)

    def of_users(self, users: list[User]) -> None:
        """Follow the expansions of each user."""
        for user in users:
            shown = self._view.user(user)
            for expansion in self._expansions:
                if expansion.startswith("affiliation"):
                    for owner in shown.get("affiliation", {}).get("user_id", ()):
                        self._user(self._view.world.users[int(owner)], expansion)
                elif expansion in shown:
                    self._tweet(int(shown[expansion]), expansion)

    def fill(self, answer: dict[str, Any]) -> None:
        """Write `includes` and `errors` into an answer; leaves out either one if it is empty."""
        view = self._view
        found: dict[str, list[Json]] = {
            "users": [view.user(user) for user in self._users.values()],
            f"{self._kind}s": [view.tweet(tweet) for tweet in self._tweets.values()],
            "media": [view.media(key) for key in self._media if draw(int(key.partition("_")[2]), 3, 12)],
            "polls": [view.poll(poll_id) for poll_id in self._polls],
            "places": [view.place(PLACES[place]) for place in self._places],
        }
        includes = {name: things for name, things in found.items() if things}
        if includes:
            answer["includes"] = includes
        if self._errors:
            answer.setdefault("errors", []).extend(self._errors.values())

    def _referenced(self, tweet: Tweet) -> None:
        wants = self._expansions.__contains__
        with_authors, with_media = (
            wants("referenced_tweets.id.author_id"),
            wants("referenced_tweets.id.attachments.media_keys"),
        )
        if not (with_authors or with_media or wants("referenced_tweets.id") or wants("referenced_posts")):
            return
        parameter = "referenced_tweets.id" if self._kind == "tweet" else "referenced_posts"
        for _, target_id in tweet.refs:
            target = self._tweet(target_id, parameter)
            if target is not None and with_authors:
                self._user(target.author, "referenced_tweets.id.author_id")
            if target is not None and with_media:
                self._media.update(dict.fromkeys(target.media))

    def _tweet(self, tweet_id: int, parameter: str) -> Tweet | None:
        view = self._view
        found = view.world.tweets.get(tweet_id)
        if found is not None and found.exists_at(view.at_ms):
            self._tweets[tweet_id] = found
            return found
        if draw(tweet_id, 51, 9) >= _UNTOLD_IN_NINE:
            ghost = view.world.ghosts.get(tweet_id)
            self._missing("tweet", parameter, str(tweet_id), ghost.state if ghost else "deactivated")
        return None

    def _user(self, user: User, parameter: str) -> None:
        if user.state in ("suspended", "deactivated"):
            if draw(user.id, 52, 9) >= _UNTOLD_IN_NINE - 3:
                self._missing("user", parameter, str(user.id), user.state)
        elif user.hydrated:
            self._users[user.id] = user

    def _mentioned(self, spans: tuple[Any, ...]) -> None:
        for kind, _, _, _, user_id in spans:
            if kind == "mention" and user_id:
                self._user(self._view.world.users[int(user_id)], "entities.mentions.username")

    def _missing(self, resource: str, parameter: str, value: str, state: str) -> None:
        self._errors[resource, value] = missing(self._kind, resource, parameter, value, "includes", state)

    def _private(self, tweet: Tweet) -> None:
        for name in PRIVATE_FIELDS:
            if name in self._view.wanted.tweet:
                self._errors[name, str(tweet.id)] = private_field(self._kind, name, str(tweet.id))
