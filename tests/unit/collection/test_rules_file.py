"""A rules file is read whole or refused with the file, the rule and the field that is wrong."""

from pathlib import Path

import pytest

from twitter_pipeline.collection.rules import BadRules, Rule, read_rules


def rules_of(folder: Path, text: str) -> list[Rule]:
    file = folder / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    return read_rules(file)


def test_a_rule_is_a_query_or_accounts_with_plain_defaults(tmp_path: Path):
    """Names of accounts are written with or without @, in any case, once."""
    text = """
    rules:
      - {name: python, query: "  #python lang:en "}
      - {name: newsroom, accounts: ["@Bob", alice, BOB], interval_seconds: 30, enabled: false}
    """
    assert rules_of(tmp_path, text) == [
        Rule("python", "#python lang:en", None, 60, True),
        Rule("newsroom", None, ["alice", "bob"], 30, False),
    ]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("just text", "rule 1: expected fields"),
        ("{query: x}", "rule 1: name: None"),
        ("{name: Upper, query: x}", "rule 1: name: 'Upper'"),
        ("{name: a, query: x, interval: 3}", "rule 1 (a): unknown field 'interval'"),
        ("{name: a}", "rule 1 (a): needs either query or accounts"),
        ("{name: a, query: x, accounts: [b]}", "rule 1 (a): needs either query or accounts"),
        ("{name: a, query: ' '}", "rule 1 (a): query:"),
        ("{name: a, query: 7}", "rule 1 (a): query:"),
        (f"{{name: a, query: {'x' * 513}}}", "rule 1 (a): query:"),
        ('{name: a, query: "a\\0b"}', "rule 1 (a): query: holds a character that is no text"),
        ('{name: a, query: "a\\uD83Db"}', "rule 1 (a): query: holds a character that is no text"),
        ("{name: a, accounts: []}", "rule 1 (a): accounts:"),
        ("{name: a, accounts: [no spaces please]}", "rule 1 (a): accounts: 'no spaces please'"),
        ("{name: a, accounts: [7]}", "rule 1 (a): accounts: 7"),
        ("{name: a, query: x, interval_seconds: 0}", "rule 1 (a): interval_seconds: 0"),
        ("{name: a, query: x, interval_seconds: true}", "rule 1 (a): interval_seconds: True"),
        ("{name: a, query: x, interval_seconds: 1.5}", "rule 1 (a): interval_seconds: 1.5"),
        ("{name: a, query: x, enabled: 'yes'}", "rule 1 (a): enabled: 'yes'"),
    ],
)
def test_a_wrong_rule_is_named_with_its_field(tmp_path: Path, rule: str, told: str):
    """The message is enough to find the line."""
    with pytest.raises(BadRules) as refused:
        rules_of(tmp_path, f"rules:\n  - {rule}\n")
    assert str(refused.value).startswith(f"{tmp_path / 'rules.yaml'}: {told}")


@pytest.mark.parametrize("text", ["", "[]", "rules: {a: b}", "rules:\n - {name: a", "rules: [\x07]"])
def test_a_file_that_is_no_list_of_rules_is_refused(tmp_path: Path, text: str):
    """Empty, another shape, broken YAML."""
    with pytest.raises(BadRules, match=r"rules\.yaml"):
        rules_of(tmp_path, text)


def test_two_rules_of_one_name_are_refused(tmp_path: Path):
    """Their checkpoints would be one."""
    with pytest.raises(BadRules, match="twice: a"):
        rules_of(tmp_path, "rules:\n - {name: a, query: x}\n - {name: a, query: y}\n")


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str):
    """Missing, or a folder."""
    with pytest.raises(BadRules, match=str(tmp_path)):
        read_rules(tmp_path / name)
