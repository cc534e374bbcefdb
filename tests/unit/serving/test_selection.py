"""Selections are parsed in one place: the same texts are accepted and refused with the same message everywhere."""

from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from twitter_pipeline.api.parameters import TweetFilters
from twitter_pipeline.exports.command import export, search
from twitter_pipeline.exports.tweets import FILTERS
from twitter_pipeline.serving.conditions import Conditions
from twitter_pipeline.serving.selection import Selection, Unselectable

WRONG = [
    ("rule", "No; drop table", "give the name of a rule: a-z 0-9 _ -"),
    ("author", "' or 1=1", "give a username: up to 50 of A-Z a-z 0-9 _"),
    ("hashtag", "#", "give a hashtag"),
    ("hashtag", "a\x00", "contains a character that is not valid in text (NUL or a lone surrogate)"),
    ("words", " ".join("abcdefghijk"), "give 1 to 10 words"),
    ("words", "a\x00b", "contains a character that is not valid in text (NUL or a lone surrogate)"),
    ("since", "yesterday", "give a time with a time zone, such as 2026-01-31T12:00:00Z, or a date"),
    ("since", "2026-01-01T00:00:00", "give a time with a time zone, such as 2026-01-31T12:00:00Z, or a date"),
    ("until", "9999-12-31", "give a time from 2006-01-01 to one day from now"),
]


@pytest.mark.parametrize(("field", "text", "why"), WRONG)
def test_a_text_that_selects_nothing_is_named_in_the_same_words_everywhere(
    field: str, text: str, why: str
) -> None:
    """By the selection itself (used by the Dag), by the API, and by the commands that have the option."""
    with pytest.raises(Unselectable) as refused:
        Selection.of(**{field: text})
    assert (refused.value.field, str(refused.value)) == (field, f"{field}: {why}")
    with pytest.raises(ValidationError) as invalid:
        TweetFilters.model_validate({field: text})
    [error] = invalid.value.errors()
    assert (error["loc"], str(error["ctx"]["error"])) == ((field,), why)
    for command, options in ((export, ["--format", "csv"]), (search, [])):
        words = [text] if field == "words" else [f"--{field}", text]
        known = {parameter.name for parameter in command.params}
        if field in known:
            done = CliRunner().invoke(command, [*options, *words])
            assert (done.exit_code, f"{field}: {why}" in done.stderr) == (2, True), done.stderr


def test_texts_become_values_in_the_form_in_which_they_are_compared() -> None:
    """Names are in lower case, hashtags without their sign, times in UTC, dates at midnight; empty texts select nothing."""
    selection = Selection.of(
        rule="coffee",
        author="@Mada",
        hashtag="#Stra\u00dfe",
        words="R&D crema",
        since="2026-01-31",
        until="2026-02-01T00:00:00+02:00",
    )
    assert selection == Selection(
        "coffee",
        "mada",
        "strasse",
        ("R&D", "crema"),
        datetime(2026, 1, 31, tzinfo=UTC),
        datetime(2026, 1, 31, 22, tzinfo=UTC),
    )
    assert Selection.of(rule=None, author="", since=None) == Selection()


def test_a_window_has_a_length() -> None:
    """A selection with an empty time window is an error, whoever makes it."""
    with pytest.raises(Unselectable, match=r"^since: must be before until$"):
        Selection.of(since="2026-02-01", until="2026-02-01")


def test_a_manifest_states_what_was_asked() -> None:
    """The four filters are always listed, others only if set."""
    assert list(Selection().stated(FILTERS)) == ["rule", "since", "until", "author"]
    assert Selection(rule="a", hashtag="b").stated(FILTERS) == {
        "rule": "a",
        "since": None,
        "until": None,
        "author": None,
        "hashtag": "b",
    }


@pytest.mark.parametrize(
    ("selection", "resolved", "expected"),
    [
        (Selection(), {}, Conditions()),
        (Selection(author="a"), {}, Conditions(author_ids=())),
        (Selection(author="a"), {"author_ids": [5]}, Conditions(author_ids=[5])),
        (
            Selection(hashtag="r&d"),
            {"other_tags": ["r&d", "R&D"]},
            Conditions(tags=["r&d", "r&amp;d", "R&D"]),
        ),
        (Selection(words=("x",), rule="r", below=3), {}, Conditions(rule="r", below=3)),
    ],
)
def test_names_are_resolved_into_keys(selection: Selection, resolved: Any, expected: Conditions) -> None:
    """An unknown name matches nothing, which differs from no name."""
    assert Conditions.of(selection, **resolved) == expected
