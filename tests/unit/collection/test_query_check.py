"""A query that X is certain to refuse is refused early, with the column; a query that X may accept passes."""

import pytest

from twitter_pipeline.collection.query_check import BadQuery, normal_query


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('tide "storm surge', "column 6, at '\"storm surge': this quote is never closed"),
        ('"', "column 1, at '\"': this quote is never closed"),
        ('from:"a" "', "column 10"),
        ("(tide OR tides", "column 1, at '(tide OR tides': this parenthesis is never closed"),
        ("((tide) OR (tides)", "column 1"),
        ("tide)", "column 5, at ')': this closing parenthesis has no opening one"),
        ("tide :)", "column 7, at ')': this closing parenthesis has no opening one"),
        (")tide(", "column 1"),
        ("tide ()", "column 6, at '()': these parentheses are empty"),
        ("tide ( ( ) )", "column 8, at '( ) )': these parentheses are empty"),
        ('tide ""', "column 6, at '\"\"': these quotes are empty"),
        ('tide from:"  "', "column 11"),
        ("OR tide", "column 1, at 'OR tide': OR needs something before it"),
        ("tide OR", "column 6, at 'OR': OR needs something after it"),
        ("tide OR OR tides", "column 9"),
        ("(OR tide)", "column 2"),
        ("tide (tides OR ) lang:en", "column 13, at 'OR ) lang:en': OR needs something after it"),
        ("OR", "column 1"),
        ("tide - surge", "column 6, at '- surge': this - excludes nothing"),
        ("-", "column 1"),
        ("tide (surge -)", "column 13"),
        ("from: nasa", "column 1, at 'from: nasa': from: needs a value right after it"),
        ("tide -lang:", "column 6, at '-lang:': lang: needs a value"),
        ("tide (is: )", "column 7"),
        ("", "is empty"),
        (" \n\t\u3000", "is empty"),
        ("x" * 513, "has 513"),
        ("é" * 513, "has 513"),
        ("\N{WATER WAVE}" * 513, "has 513"),
        ("tide\x07", "a control character: U+0007 at column 5"),
        ("tide\x85surge", "a control character: U+0085"),
        ("tide\x00", "not text (NUL or half of a surrogate pair): U+0000"),
        ("tide\ud83d", "not text (NUL or half of a surrogate pair): U+D83D at column 5"),
        ("\ufefftide", "cannot be seen: U+FEFF at column 1"),
        ("ti\u00adde", "cannot be seen: U+00AD at column 3"),
        ("tide \u202esurge", "cannot be seen: U+202E"),
        ("#tide\u2060", "cannot be seen: U+2060"),
    ],
)
def test_a_query_that_x_refuses_is_refused_with_its_column(query: str, told: str):
    """Quotes, parentheses, OR, a lone minus, lengths in characters, and invisible characters."""
    with pytest.raises(BadQuery) as refused:
        normal_query(query)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        '(tide OR tides OR "storm surge") lang:en -is:retweet',
        "#python lang:en",
        "coffee -is:retweet",
        "climate OR #climate",
        '-"storm surge" tide',
        'from:"nasa" url:"https://example.org/(a)"',
        '"a (lone parenthesis" tide',
        '"say \\"tide\\" twice"',
        '"tide\'s" or ORDER -ORDER',
        "((tide))",
        "(tide)(surge)",
        "point_radius:[2.355128 48.861118 16km] tide",
        "context:123.456 OR $TWTR OR @nasa",
        "نمی‌خواهم OR \N{FAMILY}",  # a zero-width non-joiner is part of the word
        "\N{WOMAN}\u200d\N{PERSONAL COMPUTER} lang:en",
        "潮汐 OR サーフィン",
        "tide -(surge storm)",
        "well-known e-mail a-",
        "10:30 note:",
        "x" * 512,
        "\N{WATER WAVE}" * 512,
    ],
)
def test_a_query_that_x_may_accept_passes_unchanged(query: str):
    """X decides about queries that are not certain to be refused."""
    assert normal_query(query) == query


def test_length_is_counted_after_white_space_is_folded():
    """The indentation of a query on several lines does not count."""
    assert normal_query("  tide\n" + " " * 600 + "OR\n\ttides  ") == "tide OR tides"
