"""The query language of recent search: parsed, checked by X's rules, and turned into a test for a tweet.

Follows x-api-v2.md §7 (docs: x-api/posts/search/integrate/build-a-query and /operators). A space means AND and
binds tighter than OR. "-" negates one operator, never a group. Case and diacritics do not matter. At least one
standalone operator is required. A quote tweet is matched only by its own words. Matching looks at what the tweet
itself contains: its text, the text of a long post, its entities.

Operators that X has but this world has no data for (context:, entity:, list:, point_radius:, bounding_box:,
min_likes: and similar) are refused by name instead of silently matching nothing.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from x_api_simulator.population import PLACES
from x_api_simulator.tweets import Span, Tweet

LONGEST_QUERY = 512
"""Code points, recent search (x-api-v2.md §7)."""

Test = Callable[[Tweet], bool]

LANGUAGE_TAGS = frozenset(
    "am ar hy eu bn bs bg my hr ca cs da nl en et fi fr ka de el gu ht iw hi hi-Latn hu is in it ja kn km ko lo lv"
    " lt ml dv mr ne no or pa ps fa pl pt ro ru sr zh-CN sd si sk sl ckb es sv tl ta te th zh-TW tr uk ur ug vi cy"
    " und zh qme qst qht qam qct zxx".lower().split()
)
SIMULATED_NOT = frozenset(
    [
        "context",
        "entity",
        "list",
        "point_radius",
        "bounding_box",
        "min_likes",
        "min_replies",
        "min_reposts",
        "source",
    ]
)


class QueryError(ValueError):
    """The query breaks one of X's rules; the text says which one and can be used as the problem's message."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query that X would accept."""

    text: str
    matches: Test = field(repr=False, compare=False)


def parse_query(text: str, longest: int = LONGEST_QUERY) -> Query:
    """The query, ready to be matched against tweets. Raises QueryError if X would answer 400."""
    if not text.strip():
        raise QueryError("Invalid 'query':''. 'query' must be a non-empty string")
    if len(text) > longest:
        raise QueryError(
            f"Invalid 'query'. Maximum number of characters is {longest}, this one has {len(text)}"
        )
    parser = _Parser(_tokens(text))
    node = parser.either()
    if parser.peek() is not None:
        raise QueryError(f"There were errors processing your request: unexpected '{parser.peek()}'")
    if not node.standalone:
        raise QueryError(
            "There were errors processing your request: the query needs at least one standalone operator "
            "(a keyword, #, @, from:, …); is:, has: and lang: only narrow one"
        )
    return Query(text, node.test)


def fold(text: str) -> str:
    """Lower case without diacritics: search matches with and without (x-api-v2.md §7)."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in plain if not "\u0300" <= c <= "\u036f"))


@dataclass(slots=True)
class _Node:
    test: Test
    standalone: bool


_TOKEN = re.compile(r'\s*(?:(-?)(?:([A-Za-z_]+:)?"((?:[^"\\]|\\.)*)"|(\()|([^\s()"]+))|(\)))')


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "(", ")", "OR", "word", "phrase"
    value: str
    negated: bool = False
    operator: str = ""

    def __str__(self) -> str:
        return f"{'-' if self.negated else ''}{self.operator}{self.value}"


def _tokens(text: str) -> list[_Token]:
    tokens, position, text = [], 0, text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise QueryError(
                f"There were errors processing your request: no viable alternative at input "
                f"'{text[position : position + 20]}' (at position {position + 1})"
            )
        position = found.end()
        minus, operator, phrase, opening, word, closing = found.groups()
        if opening:
            if minus:
                raise QueryError("There were errors processing your request: a group cannot be negated")
            tokens.append(_Token("(", "("))
        elif closing:
            tokens.append(_Token(")", ")"))
        elif phrase is not None:
            tokens.append(_Token("phrase", phrase.replace('\\"', '"'), bool(minus), (operator or "").lower()))
        elif word == "OR" and not minus:
            tokens.append(_Token("OR", "OR"))
        else:
            tokens.append(_Token("word", word, bool(minus)))
    return tokens


class _Parser:
    """either := all (OR all)*; all := one+; one := ["-"] operator | "(" either ")"."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0

    def peek(self) -> _Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def either(self) -> _Node:
        nodes = [self._all()]
        while (token := self.peek()) is not None and token.kind == "OR":
            self._position += 1
            nodes.append(self._all())
        tests = [node.test for node in nodes]
        if len(nodes) == 1:
            return nodes[0]
        return _Node(lambda tweet: any(test(tweet) for test in tests), all(node.standalone for node in nodes))

    def _all(self) -> _Node:
        nodes: list[_Node] = []
        while (token := self.peek()) is not None and token.kind not in ("OR", ")"):
            nodes.append(self._one(token))
        if not nodes:
            token = self.peek()
            raise QueryError(
                f"There were errors processing your request: expected an operator before "
                f"'{token if token is not None else 'the end'}'"
            )
        tests = [node.test for node in nodes]
        if len(nodes) == 1:
            return nodes[0]
        return _Node(lambda tweet: all(test(tweet) for test in tests), any(node.standalone for node in nodes))

    def _one(self, token: _Token) -> _Node:
        self._position += 1
        if token.kind == "(":
            node = self.either()
            closing = self.peek()
            if closing is None or closing.kind != ")":
                raise QueryError("There were errors processing your request: missing ')'")
            self._position += 1
            return node
        test, standalone = _operator(token)
        if token.negated:
            return _Node(lambda tweet: not test(tweet), False)
        return _Node(test, standalone)


def _operator(token: _Token) -> tuple[Test, bool]:
    """(test, whether it may stand alone) of one operator, before negation."""
    value = token.value
    if token.kind == "phrase" and not token.operator:
        return _contains(value), True
    if token.operator:
        name = token.operator[:-1]
    else:
        if value[0] in "#$@" and len(value) > 1:
            return _entity(value), True
        name, colon, value = value.partition(":")
        if not colon:
            return _contains(token.value), True
        name = name.lower()
    if not value:
        raise QueryError(f"There were errors processing your request: operator '{name}:' has no value")
    if name == "is":
        return _is(value.lower(), token.negated), False
    if name == "has":
        return _has(value.lower()), False
    if name == "lang":
        if value.lower() not in LANGUAGE_TAGS:
            raise QueryError(
                f"There were errors processing your request: Invalid language '{value}' for 'lang:'"
            )
        tag = value.lower()
        return (lambda tweet: tweet.lang.lower() == tag), False
    maker = _STANDALONE.get(name)
    if maker is not None:
        return maker(value), True
    if name in SIMULATED_NOT:
        raise QueryError(f"The simulator has no data for operator '{name}:'; the real X accepts it")
    raise QueryError(
        f"There were errors processing your request: Reference to invalid operator '{name}'. "
        "Operator is not available in current product or product packaging."
    )


_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_WORD = "[\\w\u0900-\u0d7f]"


def _contains(words: str) -> Test:
    """Consecutive whole words; a substring if the script has no spaces or the text contains no word (emoji)."""
    wanted = " ".join(fold(words).split())
    if not wanted:
        raise QueryError("There were errors processing your request: an empty phrase matches nothing")
    if _UNSPACED.search(wanted) or not re.search(_WORD, wanted):
        return lambda tweet: any(wanted in text for text in _texts(tweet))
    gap = r"\W+"
    pattern = gap.join(re.escape(word) for word in wanted.split())
    search = re.compile(f"(?<!{_WORD}){pattern}(?!{_WORD})").search
    anchor = wanted.split()[0]
    return lambda tweet: any(anchor in text and search(text) is not None for text in _texts(tweet))


def _texts(tweet: Tweet) -> tuple[str, ...]:
    shown = fold(html.unescape(tweet.text) if "&" in tweet.text else tweet.text)
    return (shown,) if tweet.note is None else (shown, fold(html.unescape(tweet.note[0])))


def _spans(tweet: Tweet) -> tuple[Span, ...]:
    return tweet.spans if tweet.note is None else tweet.spans + tweet.note[1]


def _entity(value: str) -> Test:
    kind = {"#": "hashtag", "$": "cashtag", "@": "mention"}[value[0]]
    wanted = fold(value[1:])
    return lambda tweet: any(span[0] == kind and fold(span[3]) == wanted for span in _spans(tweet))


def _is(what: str, negated: bool) -> Test:
    kinds = {"retweet": "retweeted", "reply": "replied_to", "quote": "quoted"}
    if what in kinds:
        kind = kinds[what]
        return lambda tweet: any(ref[0] == kind for ref in tweet.refs)
    if what == "verified":
        return lambda tweet: tweet.author.verified_type != "none"
    if what == "nullcast":
        if not negated:
            raise QueryError("There were errors processing your request: 'is:nullcast' must be negated")
        return lambda tweet: False
    raise QueryError(f"There were errors processing your request: Invalid value '{what}' for operator 'is:'")


_LINKS = ("url", "media", "quote")


def _has(what: str) -> Test:
    kinds = {"hashtags": ("hashtag",), "cashtags": ("cashtag",), "mentions": ("mention",), "links": _LINKS}
    if what in kinds:
        wanted = kinds[what]
        return lambda tweet: any(span[0] in wanted for span in _spans(tweet))
    if what == "media":
        return lambda tweet: bool(tweet.media)
    if what == "images":
        return lambda tweet: any(key.startswith("3_") for key in tweet.media)
    if what == "video_link":
        return lambda tweet: any(key.startswith("13_") for key in tweet.media)
    if what == "geo":
        return lambda tweet: tweet.place >= 0
    raise QueryError(f"There were errors processing your request: Invalid value '{what}' for operator 'has:'")


def _names(value: str) -> Callable[[str, int], bool]:
    """A test for a user: by name (with or without @) or by id."""
    wanted = value.removeprefix("@").casefold()
    if not re.fullmatch(r"[a-z0-9_]{1,19}", wanted):
        raise QueryError(
            f"There were errors processing your request: '{value}' is no username and no user id"
        )
    return lambda username, user_id: username.casefold() == wanted or str(user_id) == wanted


def _from(value: str) -> Test:
    is_it = _names(value)
    return lambda tweet: is_it(tweet.author.username, tweet.author.id)


def _to(value: str) -> Test:
    is_it = _names(value)
    return lambda tweet: tweet.reply_to is not None and is_it(tweet.reply_to.username, tweet.reply_to.id)


def _retweets_of(value: str) -> Test:
    is_it = _names(value)
    return lambda tweet: (
        tweet.original is not None and is_it(tweet.original.author.username, tweet.original.author.id)
    )


def _tweet_id(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", value):
        raise QueryError(f"There were errors processing your request: '{value}' is no post id")
    return int(value)


def _conversation(value: str) -> Test:
    wanted = _tweet_id(value)
    return lambda tweet: tweet.conversation_id == wanted


def _refers(kind: str) -> Callable[[str], Test]:
    def make(value: str) -> Test:
        wanted = (kind, _tweet_id(value))
        return lambda tweet: wanted in tweet.refs

    return make


def _url(value: str) -> Test:
    wanted = fold(value)
    return lambda tweet: any(
        span[0] in _LINKS and (wanted in fold(span[4]) or wanted in fold(span[3])) for span in _spans(tweet)
    )


def _place(value: str) -> Test:
    wanted = fold(value)
    here = {
        n for n, place in enumerate(PLACES) if wanted in (fold(place.name), fold(place.full_name), place.id)
    }
    return lambda tweet: tweet.place in here


def _place_country(value: str) -> Test:
    here = {n for n, place in enumerate(PLACES) if place.country_code == value.upper()}
    return lambda tweet: tweet.place in here


_STANDALONE: dict[str, Callable[[str], Test]] = {
    "from": _from,
    "to": _to,
    "retweets_of": _retweets_of,
    "url": _url,
    "conversation_id": _conversation,
    "in_reply_to_tweet_id": _refers("replied_to"),
    "retweets_of_tweet_id": _refers("retweeted"),
    "quotes_of_tweet_id": _refers("quoted"),
    "place": _place,
    "place_country": _place_country,
}
