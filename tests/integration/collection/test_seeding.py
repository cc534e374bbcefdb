"""A rules file governs its own rules, a command its own, and a file that cannot be used stops nothing."""

import threading
from pathlib import Path
from typing import Any

import pytest

from twitter_pipeline.collection import notices, rules, seeding
from twitter_pipeline.collection.lease import RuleStopped, lease_rule
from twitter_pipeline.collection.rule import Rule

TWO = """
rules:
  - {name: tea, query: tea}
  - {name: mugs, accounts: [alice], interval_seconds: 30}
"""
ONE = "rules: [{name: tea, query: tea}]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def seed(postgres: Any, file: Path, text: str, **more: Any) -> rules.Seeded:
    file.write_text(text)
    return rules.seed(postgres.dsn, file, **more)


def table(connection: Any) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        "select name, is_enabled, removed_at is not null, source from pipeline.rules"
    ).fetchall()
    return {name: rest for name, *rest in map(list, rows)}


def posted(connection: Any) -> dict[str, str]:
    return {notice.subject: notice.notice for notice in notices.posted(connection)}


def test_the_rules_of_a_file_are_as_it_says(postgres: Any, connection: Any, file: Path) -> None:
    """Seeding again changes nothing; a changed rule is changed, and counted."""
    assert seed(postgres, file, TWO) == rules.Seeded(2, [])
    assert seed(postgres, file, TWO) == rules.Seeded(0, [])
    assert seed(postgres, file, TWO.replace("query: tea", "query: green tea")) == rules.Seeded(1, [])
    assert rules.find(connection, "tea").spec == {"query": "green tea"}
    assert rules.find(connection, "mugs").spec == {"accounts": ["alice"]}
    assert table(connection) == {"tea": [True, False, "file"], "mugs": [True, False, "file"]}
    assert connection.execute("select distinct source_file from pipeline.rules").fetchall() == [(str(file),)]


def test_a_rule_that_leaves_its_file_stops_and_comes_back_with_its_checkpoint(
    postgres: Any, connection: Any, file: Path
) -> None:
    """It resumes where it was when it left."""
    seed(postgres, file, TWO)
    connection.execute("insert into pipeline.checkpoints (rule, subject, since_id) values ('mugs', '7', 42)")
    assert seed(postgres, file, ONE) == rules.Seeded(0, ["mugs"])
    assert rules.due(connection) == ["tea"]
    with (
        pytest.raises(RuleStopped, match=f"rule 'mugs' is no longer in {file}"),
        lease_rule(connection, "mugs", "me"),
    ):
        pass
    assert seed(postgres, file, ONE) == rules.Seeded(0, [])
    assert seed(postgres, file, TWO) == rules.Seeded(1, [])
    assert rules.due(connection) == ["mugs", "tea"]
    assert connection.execute("select since_id from pipeline.checkpoints").fetchall() == [(42,)]


def test_a_rule_stays_disabled_when_it_comes_back_disabled(
    postgres: Any, connection: Any, file: Path
) -> None:
    """The file says so."""
    seed(postgres, file, TWO)
    seed(postgres, file, ONE)
    seed(postgres, file, TWO.replace("seconds: 30", "seconds: 30, enabled: false"))
    assert table(connection)["mugs"] == [False, False, "file"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no such file"),
        ("", "names no rule"),
        ("rules: []\n", "names no rule"),
        ("# rules:\n", "names no rule"),
        ("rules:\n  - {name: tea, query: tea", "line 2, column"),
        ("rules:\n  - {name: tea, query: '(tea'}\n", "rule 1 (tea): query: column 1"),
        ("rules:\n  - {name: tea, query: tea}\n  - {name: tea, query: mugs}\n", "rule names must be unique"),
        ("tea", "expected a list"),
    ],
)
def test_a_file_that_cannot_be_used_stops_nothing_and_is_noticed(
    postgres: Any, connection: Any, file: Path, text: str | None, why: str
) -> None:
    """Missing, empty or broken: the notice says why, keeps its time while it stays, and disappears with the next valid file."""
    seed(postgres, file, TWO)
    before = connection.execute("select * from pipeline.rules order by name").fetchall()
    file.unlink() if text is None else file.write_text(text)
    for _ in range(2):
        with pytest.raises(rules.BadRules):
            rules.seed(postgres.dsn, file)
    assert connection.execute("select * from pipeline.rules order by name").fetchall() == before
    (notice,) = notices.posted(connection)
    assert notice.subject == "rules file"
    assert notice.notice.startswith(f"{file}: ")
    assert why in notice.notice
    with pytest.raises(rules.BadRules):
        rules.seed(postgres.dsn, file)
    assert notices.posted(connection) == [notice]
    seed(postgres, file, TWO)
    assert posted(connection) == {}


def test_older_rules_belong_to_the_file_that_names_them(postgres: Any, connection: Any, file: Path) -> None:
    """The others go on, with a notice, until the file names them or somebody removes them."""
    connection.execute(
        "insert into pipeline.rules (name, kind, spec) values ('tea', 'search', '{\"query\": \"tea\"}'), ('mugs', 'search', '{\"query\": \"x\"}'), ('old', 'search', '{\"query\": \"y\"}'), ('hat', 'search', '{\"query\": \"z\"}')"
    )
    seed(postgres, file, TWO)
    assert table(connection)["old"] == [True, False, None]
    assert table(connection)["tea"] == [True, False, "file"]
    assert set(rules.due(connection)) == {"tea", "mugs", "old", "hat"}
    notice = posted(connection)["rules that no file governs"]
    assert "does not name 2 rules that are still running" in notice
    assert "hat (of no known file), old (of no known file)" in notice
    assert seeding.remove(connection, "old", file)
    assert "1 rules" in posted(connection)["rules that no file governs"]
    seed(postgres, file, TWO + "  - {name: hat, query: z}\n")
    assert posted(connection) == {}
    assert seed(postgres, file, TWO).left == ["hat"]


def test_another_file_takes_over_the_rules_it_names_and_stops_none_of_the_others(
    postgres: Any, connection: Any, file: Path, tmp_path: Path
) -> None:
    """A moved file keeps its rules; the remaining rules of the old file go on, with a notice."""
    seed(postgres, file, TWO)
    moved = tmp_path / "moved.yaml"
    assert seed(postgres, moved, ONE) == rules.Seeded(0, [])
    assert rules.due(connection) == ["mugs", "tea"]
    assert f"mugs (of {file})" in posted(connection)["rules that no file governs"]
    assert seed(postgres, moved, "rules: [{name: mugs, accounts: [alice]}]").left == ["tea"]
    assert posted(connection) == {}


def test_a_file_may_stand_in_for_another(postgres: Any, connection: Any, file: Path, tmp_path: Path) -> None:
    """The shipped rules stop when a user's own file exists, and never stop the rules of that file."""
    sample = tmp_path / "sample.yaml"
    seed(postgres, sample, TWO, instead_of=[sample])
    assert seed(postgres, file, "rules: [{name: hat, query: z}]", instead_of=[sample]).left == ["mugs", "tea"]
    assert rules.due(connection) == ["hat"]
    seed(postgres, sample, TWO, instead_of=[sample])
    assert rules.due(connection) == ["hat", "mugs", "tea"]


def test_a_rule_of_a_command_is_not_the_files_until_it_is_accepted(
    postgres: Any, connection: Any, file: Path
) -> None:
    """The same name in both is refused, whichever comes second; a file without that name does not touch the rule."""
    seeding.add(connection, Rule("tea", "search", {"query": "black tea"}))
    with pytest.raises(
        rules.BadRules, match=r"rule 1 \(tea\): name: a command made a rule of this name.*rules accept tea"
    ):
        seed(postgres, file, TWO)
    assert table(connection) == {"tea": [True, False, "command"]}
    assert "a command made a rule" in posted(connection)["rules file"]
    seed(postgres, file, "rules: [{name: mugs, accounts: [alice]}]")
    assert set(rules.due(connection)) == {"tea", "mugs"}
    assert posted(connection) == {}
    with pytest.raises(seeding.NotYours, match=f"rule mugs: the rules file {file} made"):
        seeding.add(connection, Rule("mugs", "search", {"query": "mugs"}))
    with pytest.raises(seeding.NotYours, match="rule tea: a command made"):
        seeding.add(connection, Rule("tea", "search", {"query": "x"}))
    assert seeding.accept(connection, "tea")
    assert not seeding.accept(connection, "tea")
    seed(postgres, file, TWO)
    assert rules.find(connection, "tea").spec == {"query": "tea"}
    assert table(connection)["tea"] == [True, False, "file"]


def test_a_removed_rule_may_be_added_again(postgres: Any, connection: Any, file: Path) -> None:
    """By a command or by a file, with its checkpoints; while the file in use names it, it cannot be removed."""
    seed(postgres, file, TWO)
    with pytest.raises(seeding.NotYours, match="delete it there"):
        seeding.remove(connection, "mugs", file)
    seed(postgres, file, ONE)
    assert not seeding.remove(connection, "mugs", file)
    seeding.add(connection, Rule("mugs", "timeline", {"accounts": ["bob"]}))
    assert table(connection)["mugs"] == [True, False, "command"]
    assert seeding.remove(connection, "mugs", file)
    seed(postgres, file, TWO)
    assert table(connection)["mugs"] == [True, False, "file"]
    for change in (seeding.remove, seeding.accept):
        with pytest.raises(LookupError, match="'unknown'"):
            change(connection, "unknown")


@pytest.mark.parametrize(
    ("text", "is_parked"),
    [
        (ONE, True),
        ("rules: [{name: tea, query: ' tea '}]", True),
        ("rules: [{name: tea, query: green tea}]", False),
        ("rules: [{name: tea, accounts: [tea]}]", False),
        ("rules: [{name: tea, query: tea, page_size: 50}]", False),
    ],
)
def test_a_parked_rule_is_tried_again_when_it_is_edited_and_not_before(
    postgres: Any, connection: Any, file: Path, text: str, is_parked: bool
) -> None:
    """`make up` alone sends no request to X again."""
    seed(postgres, file, ONE)
    with lease_rule(connection, "tea", "me"):
        rules.park(connection, rules.find(connection, "tea"), "refused")
    seed(postgres, file, text)
    assert rules.due(connection) == ([] if is_parked else ["tea"])


def test_a_file_that_is_seeded_twice_at_once_is_seeded(postgres: Any, connection: Any, file: Path) -> None:
    """In whatever order each file names its rules: neither waits for the other forever."""
    names = [f"r{n}" for n in range(300)]
    other = file.with_name("other.yaml")
    for path, order in ((file, names), (other, names[::-1])):
        path.write_text("rules:\n" + "".join(f"  - {{name: {name}, query: x}}\n" for name in order))
    failures: list[BaseException] = []

    def seed_it(path: Path) -> None:
        try:
            rules.seed(postgres.dsn, path)
        except BaseException as error:  # noqa: BLE001 - reported by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=seed_it, args=(path,)) for path in (file, other, file, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(rules.due(connection)) == 300


def test_a_shorter_interval_applies_from_the_edit_on(postgres: Any, connection: Any, file: Path) -> None:
    """A rule that was polled once a day does not wait for its old due time; with a longer interval it does."""
    seed(postgres, file, "rules: [{name: tea, query: tea, interval_seconds: 86400}]")
    with lease_rule(connection, "tea", "me"):
        pass
    wait = "select extract(epoch from next_due_at - now()) from pipeline.rules"
    seed(postgres, file, "rules: [{name: tea, query: tea, interval_seconds: 60}]")
    assert 0 < connection.execute(wait).fetchone()[0] <= 60
    seed(postgres, file, "rules: [{name: tea, query: tea, interval_seconds: 3600}]")
    assert 0 < connection.execute(wait).fetchone()[0] <= 60
