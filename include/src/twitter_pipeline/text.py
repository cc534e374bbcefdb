"""Text as people read and type it: one form for what is stored to be searched and for what is searched for.

X escapes `&`, `<` and `>` as HTML entities; Unicode writes one letter in several ways; people type any case. The
loader, the API, the commands and the exports all compare by the functions here, so that none finds what another misses.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

USERNAME = re.compile(r"[A-Za-z0-9_]{1,50}", re.ASCII)  # 15 today; accounts of before have longer ones
RULE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
LONGEST_SEARCHED = 50_000
"""Characters of a text that can be searched; X's longest has 25,000, and PostgreSQL indexes at most a megabyte."""
SEPARATOR = "\n"
"""Between the trigrams of a text: no trigram has a line break in it."""
_ENTITY = re.compile(r"&(amp|lt|gt);")
_CHARACTER = {"amp": "&", "lt": "<", "gt": ">"}
_BEFORE_TAG = re.compile(r"[#\uff03\s]+")
_BEFORE_NAME = re.compile(r"[@\uff20\s]+")
_MOST_TRIGRAMS_ASKED = 16


def readable(text: str) -> str:
    """The text as X's apps show it: `&amp;`, `&lt;` and `&gt;` as characters, undone once; NFC."""
    if "&" in text:
        text = _ENTITY.sub(lambda entity: _CHARACTER[entity[1]], text)
    return unicodedata.normalize("NFC", text)


def searchable(text: str) -> str:
    """The form under which equal texts are equal: readable, case-folded, NFC, one space between words."""
    folded = unicodedata.normalize("NFC", readable(text).casefold())
    return " ".join(folded.split())[:LONGEST_SEARCHED]


def bare_tag(tag: str) -> str:
    """A hashtag as it is shown, without its sign (#, also full-width) and the spaces around it."""
    text = readable(tag)
    return text[match.end() if (match := _BEFORE_TAG.match(text)) else 0 :].rstrip()


def normal_tag(tag: str) -> str:
    """The form under which equal hashtags are equal."""
    return searchable(bare_tag(tag))


def escaped(text: str) -> str:
    """A text as X escapes it: how hashtags of older versions may have been stored."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def normal_username(name: str) -> str:
    """A username in lower case, without @ (also full-width) and spaces. Raises ValueError for what is none."""
    bare = name[match.end() if (match := _BEFORE_NAME.match(name)) else 0 :].rstrip()
    if not USERNAME.fullmatch(bare):
        raise ValueError("give the name of an account: up to 50 of A-Z a-z 0-9 _")
    return bare.lower()


def trigrams(text: str) -> str:
    """What a searchable text is indexed by: from each of its characters on, three of the word, padded with spaces.

    In order of appearance, so that the same text always gives the same value.
    """
    return SEPARATOR.join(dict.fromkeys(chain.from_iterable(map(_trigrams_of_word, text.split()))))


@lru_cache(maxsize=1 << 16)  # most words of a batch were seen before
def _trigrams_of_word(word: str) -> tuple[str, ...]:
    padded = word + "  "
    return tuple(padded[start : start + 3] for start in range(len(word)))


def like_patterns(words: Sequence[str]) -> list[str]:
    """One `like` pattern for each searchable word, wildcards taken literally."""
    return [f"%{_literally(word)}%" for word in words]


def trigram_query(words: Sequence[str]) -> str:
    """A tsquery for the trigrams that every text with all of these searchable words in it has.

    Words of one or two characters are the beginning of a trigram; long ones ask for sixteen of theirs.
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
