"""Check a query for what X's recent search is certain to refuse, before it is stored.

Checks lengths, quotes, parentheses and incomplete operators; X's full grammar is not repeated here. If X refuses a query
that passes, the rule is parked with X's own reason.
"""

import re
from dataclasses import dataclass

QUERY_LENGTH = 512  # characters; recent search refuses longer ones
SHOWN = 24
OPERATORS_WITH_A_VALUE = re.compile(
    r"-?(from|to|retweets_of|url|lang|is|has|context|entity|conversation_id|list|in_reply_to_tweet_id"
    r"|quotes_of_tweet_id|retweets_of_tweet_id|place|place_country|point_radius|bounding_box):",
    re.IGNORECASE,
)
# Left over from copying. The joiners in emoji, Persian and Indic words (U+200C, U+200D) are text and not listed here.
INVISIBLE = re.compile(
    "[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)  # a query may hold tabs and line breaks as white space
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<open>\() | (?P<close>\)) | (?P<phrase>"(?:[^"\\]|\\.)*") | (?P<quote>")
    | (?P<word>[^\s()"]+)""",
    re.VERBOSE | re.DOTALL,
)


class BadQuery(ValueError):
    """X would refuse the query; the text says why and at which column (counted in characters, from 1)."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int
    touches_next: bool = False


def normal_query(query: str) -> str:
    """The query as it is sent: every run of white space becomes one space, and none remains at the ends.

    Raises BadQuery, for example for characters that cannot be seen or stored.
    """
    for pattern, what in (
        (NO_TEXT, "a character that is not text (NUL or half of a surrogate pair)"),
        (CONTROL, "a control character"),
        (INVISIBLE, "a character that cannot be seen"),
    ):
        if found := pattern.search(query):
            raise BadQuery(f"holds {what}: U+{ord(found[0]):04X} at column {found.start() + 1}; remove it")
    text = fold_spaces(query)
    if not text:
        raise BadQuery(f"must be text of 1 to {QUERY_LENGTH} characters, but is empty")
    if len(text) > QUERY_LENGTH:
        raise BadQuery(
            f"must be text of 1 to {QUERY_LENGTH} characters, but has {len(text)}: it is too long"
            f" after column {QUERY_LENGTH}; split it into two rules"
        )
    _check_shape(text)
    return text


def fold_spaces(query: str) -> str:
    """The query with single spaces; X treats any other white space the same."""
    return " ".join(query.split())


def _tokens(text: str) -> list[_Token]:
    found = list(TOKEN.finditer(text))
    return [
        _Token(str(m.lastgroup), m[0], m.start() + 1, n is not None and n.lastgroup != "space")
        for m, n in zip(found, [*found[1:], None], strict=True)
        if m.lastgroup != "space"
    ]


def _check_shape(text: str) -> None:
    def refuse(column: int, why: str) -> BadQuery:
        return BadQuery(f"column {column}, at {text[column - 1 : column - 1 + SHOWN]!r}: {why}")

    open_at: list[int] = []
    before: _Token | None = None
    for token in _tokens(text):
        opens = before is None or before.kind == "open"
        after_or = before is not None and before.kind == "word" and before.text == "OR"
        if token.kind == "quote":
            raise refuse(token.column, "this quote is never closed")
        if token.kind == "phrase" and not token.text.strip('"').strip():
            raise refuse(token.column, "these quotes are empty")
        if token.kind == "open":
            open_at.append(token.column)
        elif token.kind == "close":
            if not open_at:
                raise refuse(token.column, "this closing parenthesis has no opening one")
            if opens:
                raise refuse(open_at[-1], "these parentheses are empty")
            if after_or and before is not None:
                raise refuse(before.column, "OR needs something after it")
            open_at.pop()
        elif token.text == "OR":
            if opens or after_or:
                raise refuse(token.column, "OR needs something before it")
        elif token.text == "-" and not (token.touches_next and not _closes(text, token)):
            raise refuse(token.column, 'this - excludes nothing; write it before a word, or in quotes: "-"')
        elif _lacks_value(token):
            raise refuse(
                token.column, f"{token.text.lstrip('-')} needs a value right after it (without a space)"
            )
        before = token
    if open_at:
        raise refuse(open_at[-1], "this parenthesis is never closed")
    if before is not None and before.kind == "word" and before.text == "OR":
        raise refuse(before.column, "OR needs something after it")


def _closes(text: str, token: _Token) -> bool:
    return text[token.column] == ")"


def _lacks_value(token: _Token) -> bool:
    return bool(OPERATORS_WITH_A_VALUE.fullmatch(token.text)) and not token.touches_next
