"""Tweets loaded by an older version are found before, while and after they are added to the search index."""

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.api import Api, served
from support.envelopes import envelope
from support.loading import load, tweet_id
from twitter_pipeline.serving import search
from twitter_pipeline.warehouse import search_index

OLD = 500


def older_version(dsn: str) -> None:
    """What a warehouse holds after the migration: tweets without search rows, every tenth of them about owls."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            "insert into twitter.tweets (id, text, is_collected) select %s + n,"
            " case n %% 10 when 0 then 'an Owl &amp; more' else 'something' end, true from generate_series(1, %s) n",
            (tweet_id(0), OLD),
        )
        owner.execute("insert into twitter.hashtags values ('a&amp;b', 'A&amp;B', null)")
        owner.execute("update pipeline.backfills set below_id = 9223372036854775807")


def every_page(api: Api, **params: Any) -> list[int]:
    """The numbers of all tweets, page after page until there is no cursor; no page is longer than requested."""
    found, cursor = [], None
    while True:
        page = api.data("/api/v1/tweets", **params, **({"cursor": cursor} if cursor else {}))
        assert page["meta"]["count"] <= params["limit"]
        found += [int(tweet["id"]) - tweet_id(0) for tweet in page["data"]]
        if (cursor := page["meta"]["next_cursor"]) is None:
            return found


@pytest.mark.parametrize("filled", [0, 1, 7, 100])
def test_pages_are_whole_while_texts_are_being_filled(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: int
) -> None:
    """A page may be short and still have a next one; together they have every tweet once, newest first."""
    monkeypatch.setattr(search, "EXAMINED", 64)
    monkeypatch.setattr(search, "WALKED", 40)
    older_version(postgres.superuser_dsn)
    load(postgres.dsn, envelope({"id": str(tweet_id(OLD + 7)), "text": "a new owl"}))
    load(postgres.dsn, envelope({"id": str(tweet_id(250)), "text": "observed again, now with an owl"}))
    with psycopg.connect(postgres.dsn, autocommit=True) as loader:
        for _ in range(filled):
            search_index.fill_search_columns(loader, batch=30)
        assert (search_index.unfilled_below(loader) is None) is (filled == 100)
    expected = [OLD + 7, *range(OLD, 0, -10)]
    with served(tmp_path, postgres.reader_dsn) as api:
        assert every_page(api, words="OWL", limit=8) == expected
        assert every_page(api, words="absent", limit=8) == []
        assert every_page(api, words="& more", limit=100) == [n for n in expected[1:] if n != 250]


def test_filling_beside_the_loader_and_another_filler_loses_nothing(postgres: Any) -> None:
    """After an interruption it continues where it stopped, and it never replaces a row written by the loader."""
    older_version(postgres.superuser_dsn)
    failed: list[BaseException] = []

    def fill() -> None:
        try:
            with psycopg.connect(postgres.dsn, autocommit=True) as loader:
                while search_index.fill_search_columns(loader, batch=7) is not None:
                    pass
        except BaseException as error:
            failed.append(error)
            raise

    with psycopg.connect(postgres.dsn, autocommit=True) as interrupted:
        with pytest.raises(RuntimeError), interrupted.transaction():
            search_index.fill_search_columns(interrupted, batch=50)
            raise RuntimeError("killed before it was committed")
        assert search_index.unfilled_below(interrupted) == 2**63 - 1
    fillers = [threading.Thread(target=fill) for _ in range(2)]
    for filler in fillers:
        filler.start()
    for number in range(1, OLD, 50):
        load(postgres.dsn, envelope({"id": str(tweet_id(number)), "text": f"loaded {number}"}))
    for filler in fillers:
        filler.join(60)
    assert failed == []
    with psycopg.connect(postgres.dsn, autocommit=True) as reader:
        assert search_index.unfilled_below(reader) is None
        assert reader.execute("select count(*) from twitter.tweet_texts").fetchone() == (OLD,)
        (loaded,) = reader.execute(
            "select count(*) from twitter.tweet_texts where text like 'loaded %'"
        ).fetchone() or (0,)
        assert loaded == len(range(1, OLD, 50))
        assert search_index.fill_search_tags(reader, batch=1) == 1
        assert search_index.fill_search_tags(reader, batch=1) == 0


def test_a_start_fills_for_its_time_and_the_next_goes_on(postgres: Any) -> None:
    """If there is much to fill, it does not delay a start."""
    older_version(postgres.superuser_dsn)
    fill = search_index.fill_search_columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_index, "fill_search_columns", lambda connection: fill(connection, 100))
        assert search_index.fill_for(postgres.dsn, 0.0) is False
    assert search_index.fill_for(postgres.dsn, 30.0) is True
    assert search_index.fill_for(postgres.dsn, 0.0) is True
