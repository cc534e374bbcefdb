"""How the world grows: one random stream that produces tweet after tweet.

The n-th tweet depends on the seed, the epoch, the rate and the tweets before it, never on when or how often
requests were made, nor on anything the control door did. So the same three numbers give the same world after every
restart, however its growth was divided into steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from x_api_simulator.chance import Weighted, draw
from x_api_simulator.clock import first_id, moment_of
from x_api_simulator.population import PLACES, User, build_population
from x_api_simulator.text import CASHTAGS, HASHTAGS, LANGUAGES, SITES, Sentence, build_sentences
from x_api_simulator.tweets import NEVER_MS, Draft, Tweet, retweet_text, short_link, shorten_note

HISTORY_MS = 6 * 3_600_000
HISTORY_TWEETS = 400
AUTHORS = 1_500
EDIT_WINDOW_MS = 3_600_000
"""An hour: the 2025-10 changelog and post.create of recordings/xdevplatform-docs (the docs page still says 30
minutes; x-api-v2.md §4)."""
MOST_VERSIONS = 6
"""The first version and up to five edits (x-api-v2.md §4)."""


class Growth:
    """The stream of tweets. `until` yields those created up to a given time, in the order of their ids."""

    def __init__(self, seed: int, epoch_ms: int, rate: float) -> None:
        self.epoch_ms = epoch_ms
        self._rate_per_ms = rate / 1000
        self._rng = Random(f"x-api-simulator {seed}")
        self.people, self.spoken_of = build_population(self._rng, AUTHORS)
        self._authors = Weighted.zipf(self.people, flat=12)
        self._hashtags = Weighted.zipf(HASHTAGS, flat=1)
        self._languages = Weighted([language.tag for language in LANGUAGES], [one.share for one in LANGUAGES])
        self._sentences: dict[str, tuple[Sentence, ...]] = build_sentences(self._rng)
        self._talk: list[Tweet] = []  # what can be answered, quoted and retweeted
        self._edits: list[tuple[int, int, Tweet]] = []
        self._last_id = 0
        self._next_ms = float(epoch_ms - HISTORY_MS)
        self._step()
        self.ghosts: dict[int, User] = {}
        """Tweets that others refer to but nobody can see, with their authors."""

    def until(self, at_ms: int) -> Iterator[Tweet]:
        """Every tweet created after the last call and up to `at_ms`."""
        while True:
            edit_ms = self._edits[0][0] if self._edits else NEVER_MS
            if min(edit_ms, self._next_ms) > at_ms:
                return
            if edit_ms <= self._next_ms:
                yield self._edit(*heappop(self._edits)[::2])
            else:
                moment = int(self._next_ms)
                self._step()
                yield self._arrive(moment)

    def _step(self) -> None:
        rate = self._rate_per_ms if self._next_ms >= self.epoch_ms else HISTORY_TWEETS / HISTORY_MS
        step = self._rng.expovariate(rate) if rate > 0 else float(NEVER_MS)
        if self._next_ms < self.epoch_ms < self._next_ms + step:
            # The rate changes at the epoch; an exponential wait has no memory, so it restarts there.
            rate, self._next_ms = self._rate_per_ms, float(self.epoch_ms)
            step = self._rng.expovariate(rate) if rate > 0 else float(NEVER_MS)
        self._next_ms += step

    def _new_id(self, at_ms: int) -> int:
        """Even and increasing; odd ids are reserved for the control door."""
        self._last_id = max(first_id(at_ms) + (self._rng.getrandbits(21) << 1), self._last_id + 2)
        return self._last_id

    def _arrive(self, at_ms: int) -> Tweet:
        rng = self._rng
        tweet_id, author, roll = self._new_id(at_ms), self._authors.pick(rng), rng.random()
        maker: Callable[[Tweet], None] = self._write
        if roll < 0.58:
            maker = (self._retweet, self._answer, self._quote)[(roll >= 0.28) + (roll >= 0.48)]
        tweet = Tweet(tweet_id, at_ms, author, self._languages.pick(rng), "", conversation_id=tweet_id)
        tweet.indexed_ms = at_ms + min(9_000, int(rng.expovariate(1 / 1_500)))
        maker(tweet)
        if rng.random() < 0.015 and not tweet.versions:
            tweet.deleted_ms = at_ms + int(rng.expovariate(1 / 1_800_000)) + 1
        elif rng.random() < 0.005:
            tweet.withheld = ("DE", "FR")[: rng.randrange(1, 3)]
        if tweet.original is None:
            self._talk.append(tweet)
        return tweet

    def _partner(self, at_ms: int) -> Tweet | None:
        """A tweet that people react to, usually a recent one; None if it is gone by now."""
        if not self._talk:
            return None
        back = int(self._rng.random() ** 3 * min(len(self._talk), 3_000))
        found = self._talk[-1 - back]
        return found if at_ms < min(found.deleted_ms, found.superseded_ms) else None

    def _retweet(self, tweet: Tweet) -> None:
        original = self._partner(tweet.at_ms)
        if original is None:
            return self._write(tweet)
        tweet.text, tweet.spans = retweet_text(original)
        tweet.lang, tweet.original, tweet.refs = original.lang, original, (("retweeted", original.id),)
        # 196 of 782 real retweets lack their original's attachments (x-api-v2.md §9).
        tweet.media = original.media if draw(tweet.id, 3, 4) else ()
        tweet.poll_id = original.poll_id
        return None

    def _answer(self, tweet: Tweet) -> None:
        parent = self._partner(tweet.at_ms)
        if parent is None:
            return self._write(tweet)
        draft = Draft()
        target, target_id, conversation = parent.author, parent.id, parent.conversation_id
        if self._rng.random() < 0.08:
            target, target_id = self._ghost(tweet.at_ms)
            conversation = target_id
        resolvable = target.state in ("active", "protected")
        draft.mark("mention", f"@{target.username}", target.username, str(target.id) if resolvable else "")
        tweet.refs, tweet.reply_to, tweet.conversation_id = (("replied_to", target_id),), target, conversation
        return self._finish(tweet, draft)

    def _quote(self, tweet: Tweet) -> None:
        quoted = self._partner(tweet.at_ms)
        if quoted is None:
            return self._write(tweet)
        author, quoted_id = quoted.author, quoted.id
        if self._rng.random() < 0.08:
            author, quoted_id = self._ghost(tweet.at_ms)
        tweet.refs = (("quoted", quoted_id),)
        draft = Draft()
        self._speak(tweet, draft)
        address = f"https://twitter.com/{author.username}/status/{quoted_id}"
        draft.mark("quote", short_link(tweet.id, 5), short_link(tweet.id, 5), address)
        tweet.text, tweet.spans = draft.text, tuple(draft.spans)
        return None

    def _ghost(self, at_ms: int) -> tuple[User, int]:
        author = self.spoken_of[self._rng.randrange(len(self.spoken_of))]
        ghost_id = first_id(at_ms - self._rng.randrange(3_600_000, 300_000_000)) + 2 * self._rng.getrandbits(
            20
        )
        self.ghosts[ghost_id] = author
        return author, ghost_id

    def _write(self, tweet: Tweet) -> None:
        self._finish(tweet, Draft())
        if self._rng.random() < 0.02 and tweet.note is None and not tweet.poll_id:
            self._plan_edit(tweet)

    def _finish(self, tweet: Tweet, draft: Draft) -> None:
        rng = self._rng
        long = rng.random() < 0.03
        self._speak(tweet, draft, sentences=rng.randint(9, 16) if long else 0)
        if long and len(draft.text) > 280:
            tweet.note = (draft.text, tuple(span for span in draft.spans if span[0] != "annotation"))
            tweet.text, tweet.spans = shorten_note(draft.text, tuple(draft.spans), tweet.id)
            return
        roll = rng.random()
        if roll < 0.14:
            self._attach_media(tweet, draft)
        elif roll < 0.16:
            tweet.poll_id = tweet.id
        if rng.random() < 0.04:
            tweet.place, tweet.point = rng.randrange(len(PLACES)), rng.random() < 0.3
        tweet.text, tweet.spans = draft.text, tuple(draft.spans)

    def _speak(self, tweet: Tweet, draft: Draft, sentences: int = 0) -> None:
        rng = self._rng
        pool = self._sentences[tweet.lang]
        for _ in range(sentences or 1 + int(rng.random() ** 1.3 * 4)):
            sentence = pool[int(rng.random() * len(pool))]
            draft.say(sentence.text, sentence.annotations)
        if rng.random() < 0.12:
            if rng.random() < 0.75:
                other = self._authors.pick(rng)
                draft.mark("mention", f"@{other.username}", other.username, str(other.id))
            else:
                other = self.spoken_of[rng.randrange(len(self.spoken_of))]
                draft.mark("mention", f"@{other.username}", other.username)
        while rng.random() < 0.42:
            tag = self._hashtags.pick(rng)
            draft.mark("hashtag", f"#{tag}", tag)
        if rng.random() < 0.01:
            tag = rng.choice(CASHTAGS)
            draft.mark("cashtag", f"${tag}", tag)
        if rng.random() < 0.15:
            site, _ = rng.choice(SITES)
            link = short_link(tweet.id, 6)
            draft.mark("url", link, link, f"https://{site}/{tweet.lang}/{tweet.id % 9973}")

    def _attach_media(self, tweet: Tweet, draft: Draft) -> None:
        rng = self._rng
        prefix = ("3", "3", "3", "13", "7", "16")[rng.randrange(6)]
        count = rng.randint(1, 4) if prefix == "3" else 1
        tweet.media = tuple(f"{prefix}_{tweet.id - n}" for n in range(count))
        link = short_link(tweet.id, 4)
        page = f"https://twitter.com/{tweet.author.username}/status/{tweet.id}/{'photo' if prefix == '3' else 'video'}/1"
        draft.mark("media", link, link, page)

    def _plan_edit(self, tweet: Tweet) -> None:
        tweet.versions = tweet.versions or [tweet.id]
        moment = tweet.at_ms + int(self._rng.random() * 900_000) + 1_000
        if moment < moment_of(tweet.versions[0]) + EDIT_WINDOW_MS:
            heappush(self._edits, (moment, tweet.id, tweet))

    def _edit(self, at_ms: int, old: Tweet) -> Tweet:
        new_id = self._new_id(at_ms)
        draft = Draft()
        self._speak(old, draft)
        new = replace(
            old,
            id=new_id,
            at_ms=at_ms,
            text=draft.text,
            spans=tuple(draft.spans),
            media=(),
            indexed_ms=at_ms + 500,
            superseded_ms=NEVER_MS,
        )
        old.superseded_ms = new.indexed_ms
        old.versions.append(new_id)
        self._talk.append(new)
        if len(old.versions) < MOST_VERSIONS and self._rng.random() < 0.4:
            self._plan_edit(new)
        return new
