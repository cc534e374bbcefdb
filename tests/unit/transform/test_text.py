"""One normal form for searchable text and for search terms."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twitter_pipeline.text import (
    LONGEST_SEARCHED,
    bare_tag,
    escaped,
    normal_tag,
    normal_username,
    readable,
    searchable,
    trigram_query,
    trigrams,
)


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("R&amp;D", "R&D"),
        ("3 &lt; 4 &gt; 2", "3 < 4 > 2"),
        ("&amp;lt;", "&lt;"),
        ("&amp;amp;", "&amp;"),
        ("&quot;&nbsp;&#38;&AMP;", "&quot;&nbsp;&#38;&AMP;"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_what_x_escapes_is_unescaped_once(stored: str, read: str) -> None:
    """Only three entities: anything else that looks like one was typed that way."""
    assert readable(stored) == read


@given(st.text())
def test_a_text_that_was_escaped_reads_as_before(text: str) -> None:
    """X's escaping is reversed exactly."""
    assert readable(escaped(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "tag", ["#Caf\u00e9", "\uff03cafe\u0301", " # CAF\u00c9 ", "##caf\u00e9", "caf\u00e9\u3000"]
)
def test_hashtags_are_equal_however_they_are_typed(tag: str) -> None:
    """With or without a sign of either width, spaces, and any case."""
    assert normal_tag(tag) == "caf\u00e9"
    assert bare_tag(tag).casefold() in {"caf\u00e9"}


@pytest.mark.parametrize("name", ["Mada", "@mada", "\uff20MADA ", " @ mada"])
def test_usernames_are_equal_however_they_are_typed(name: str) -> None:
    """With or without a sign of either width, spaces, and any case."""
    assert normal_username(name) == "mada"


@pytest.mark.parametrize(
    "name", ["", "@", "a b", "a-b", "a" * 51, "\u0430bc", "a\n.", "\uff4d\uff41\uff44\uff41"]
)
def test_an_invalid_username_is_refused(name: str) -> None:
    """Fifty characters of A-Z a-z 0-9 _."""
    with pytest.raises(ValueError, match="up to 50"):
        normal_username(name)


@given(st.text(), st.data())
def test_every_part_of_a_word_is_asked_for_by_trigrams_that_the_text_has(
    text: str, data: st.DataObject
) -> None:
    """So the index never hides a text that contains the word."""
    form = searchable(text)
    words = form.split()
    if not words:
        assert trigrams(form) == ""
        return
    word = data.draw(st.sampled_from(words))
    start = data.draw(st.integers(0, len(word) - 1))
    part = word[start : data.draw(st.integers(start + 1, len(word)))]
    indexed = trigrams(form).split("\n")
    for lexeme in trigram_query([part]).split(" & "):
        is_beginning = lexeme.endswith(":*")
        bare = lexeme.removesuffix(":*")[1:-1].replace("''", "'").replace("\\\\", "\\")
        assert any(trigram.startswith(bare) if is_beginning else trigram == bare for trigram in indexed)


def test_the_index_of_a_text_is_bounded_and_always_the_same() -> None:
    """A text of a megabyte has only as many trigrams as PostgreSQL can hold, in order of appearance."""
    form = searchable("".join(chr(0x10000 + n % 90_000) for n in range(300_000)))
    assert len(form) <= LONGEST_SEARCHED
    assert len(trigrams(form).replace("\n", "").encode()) < 1_000_000
    assert trigrams("aab ab") == "aab\nab \nb  "
    assert trigrams("") == ""
