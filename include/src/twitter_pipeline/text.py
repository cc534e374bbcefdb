"""Text as people read and type it: one normal form for stored searchable text and for search input.

X escapes `&`, `<` and `>` as HTML entities; Unicode can write one letter in several ways; people type any case. The
loader, the API, the commands and the exports all compare with the functions here, so that their results agree.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

USERNAME = re.compile(r"[A-Za-z0-9_]{1,50}", re.ASCII)  # up to 15 today; old accounts have longer ones
RULE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
LONGEST_SEARCHED = 50_000
"""How many characters of a text can be searched; X's longest has 25,000, and PostgreSQL indexes at most a megabyte."""
SEPARATOR = "\n"
"""Separates the trigrams of a text: no trigram contains a line break."""
_ENTITY = re.compile(r"&(amp|lt|gt);")
_CHARACTER = {"amp": "&", "lt": "<", "gt": ">"}
_BEFORE_TAG = re.compile(r"[#\uff03\s]+")
_BEFORE_NAME = re.compile(r"[@\uff20\s]+")
_MOST_TRIGRAMS_ASKED = 16


def readable(text: str) -> str:
    """The text as X's apps show it: `&amp;`, `&lt;` and `&gt;` unescaped once; NFC."""
    if "&" in text:
        text = _ENTITY.sub(lambda entity: _CHARACTER[entity[1]], text)
    return unicodedata.normalize("NFC", text)


def searchable(text: str) -> str:
    """The form in which texts are compared: readable, case-folded, NFC, one space between words."""
    folded = unicodedata.normalize("NFC", readable(text).casefold())
    return " ".join(folded.split())[:LONGEST_SEARCHED]


def bare_tag(tag: str) -> str:
    """A hashtag as displayed, without its sign (#, also full-width) and surrounding spaces."""
    text = readable(tag)
    return text[match.end() if (match := _BEFORE_TAG.match(text)) else 0 :].rstrip()


def normal_tag(tag: str) -> str:
    """The form in which hashtags are compared."""
    return searchable(bare_tag(tag))


def escaped(text: str) -> str:
    """A text as X escapes it, which is how older versions may have stored hashtags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def normal_username(name: str) -> str:
    """A username in lower case, without @ (also full-width) and spaces. Raises ValueError if it is not a username."""
    bare = name[match.end() if (match := _BEFORE_NAME.match(name)) else 0 :].rstrip()
    if not USERNAME.fullmatch(bare):
        raise ValueError("give a username: up to 50 of A-Z a-z 0-9 _")
    return bare.lower()


def trigrams(text: str) -> str:
    """What a searchable text is indexed by: three characters of a word from each position, padded with spaces.

    They are in order of appearance, so that the same text always gives the same value.
    """
    return SEPARATOR.join(dict.fromkeys(chain.from_iterable(map(_trigrams_of_word, text.split()))))


@lru_cache(maxsize=1 << 16)  # most words in a batch have been seen before
def _trigrams_of_word(word: str) -> tuple[str, ...]:
    padded = word + "  "
    return tuple(padded[start : start + 3] for start in range(len(word)))


def like_patterns(words: Sequence[str]) -> list[str]:
    """One `like` pattern per searchable word; wildcards in it are taken literally."""
    return [f"%{_literally(word)}%" for word in words]


def trigram_query(words: Sequence[str]) -> str:
    """A tsquery for the trigrams that every text with all of these searchable words has.

    Words of one or two characters match the beginning of a trigram; for long words, sixteen of their trigrams are used.
    """
    lexemes: dict[str, None] = {}
    for piece in (piece for word in words for piece in word.split()):
        if len(piece) < 3:
            lexemes[f"{_lexeme(piece)}:*"] = None
            continue
        last = len(piece) - 3
        step = max(1, -(-last // (_MOST_TRIGRAMS_ASKED - 1)))
        for start in {*range(0, last, step), last}:
            lexemes[_lexeme(piece[start : start + 3])] = None
    return " & ".join(lexemes)


def _literally(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _lexeme(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
