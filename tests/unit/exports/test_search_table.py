"""The output of search cannot disturb the terminal."""

from datetime import UTC, datetime

from twitter_pipeline.exports.search import Tweet, printable, table


def tweet(text: str) -> Tweet:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Tweet(1_600_000_000_000_000_001, at, 7, "ann", text, 1, 2, 3, None)


def test_table() -> None:
    """A line has time, account, id and the text on one line."""
    head, line = table([tweet("two\nlines")], None)
    assert line == "2026-01-02 03:04:05  @ann     1600000000000000001  two lines"
    assert head.split() == ["created", "(UTC)", "account", "id", "text"]
    assert list(table([], None)) == []


def test_cut_to_the_terminal() -> None:
    """Lines are cut to the width, in which a wide character takes two columns."""
    _, line = table([tweet("字" * 100)], 80)
    assert line.endswith("…")
    assert len(line) < 70


def test_strangers_words() -> None:
    """Escape sequences, line separators and direction changes do not reach the terminal; joined emoji do."""
    assert printable("a\x1b[2Jb\r\x07\u2028c\u202ed\x9b") == "a [2Jb cd"
    assert printable("👩\u200d💻 ok") == "👩\u200d💻 ok"


def test_json() -> None:
    """Ids are strings, the time is RFC 3339, and what is unknown is null."""
    assert tweet("x").as_json() == {
        "id": "1600000000000000001",
        "created_at": "2026-01-02T03:04:05.000Z",
        "author_id": "7",
        "author_username": "ann",
        "text": "x",
        "retweet_count": 1,
        "reply_count": 2,
        "like_count": 3,
        "quote_count": None,
    }
