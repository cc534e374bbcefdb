"""A rules file is read completely or refused, naming the file, the rule and the field that is wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from twitter_pipeline.collection.rule import NEEDS_ONE_KIND
from twitter_pipeline.collection.rules import BadRules, Rule, read_rules


def rules_of(folder: Path, text: str | bytes) -> list[Rule]:
    file = folder / "rules.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_rules(file)


def refusal(folder: Path, text: str | bytes) -> str:
    """The error message, after the name of the file."""
    with pytest.raises(BadRules) as refused:
        rules_of(folder, text)
    told = str(refused.value)
    assert told.startswith(f"{folder / 'rules.yaml'}: ")
    assert "\n" not in told
    return told.removeprefix(f"{folder / 'rules.yaml'}: ")


def test_a_rule_is_a_query_or_accounts_with_plain_defaults(tmp_path: Path):
    """Account names may be written with or without @, in any case, and are kept once."""
    text = """
    rules:
      - {name: python, query: "  #python lang:en "}
      - {name: newsroom, accounts: ["@Bob", alice, BOB], interval_seconds: 30, enabled: false}
    """
    assert rules_of(tmp_path, text) == [
        Rule("python", "search", {"query": "#python lang:en"}, 60, True, 100, 7, 60, None),
        Rule("newsroom", "timeline", {"accounts": ["alice", "bob"]}, 30, False, 100, 7, 60, None),
    ]


def test_page_size_reach_overlap_and_budget_are_settings_of_a_rule(tmp_path: Path):
    """A timeline may reach further back than a search, which X limits to seven days."""
    text = """
    rules:
      - {name: python, query: x, page_size: 10, first_poll_days: 1, overlap_seconds: 0, budget_usd: 0.50}
      - {name: newsroom, accounts: [a_very_long_username_of_a_very_early_time], first_poll_days: 365, budget_usd: 5}
    """
    python, newsroom = rules_of(tmp_path, text)
    assert (python.page_size, python.first_poll_days, python.overlap_seconds) == (10, 1, 0)
    assert (python.budget_usd, newsroom.budget_usd) == (Decimal("0.50"), Decimal(5))
    assert newsroom.first_poll_days == 365


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("just text", "rule 1: expected fields"),
        ("[{name: a}]", "rule 1: expected fields such as name and query, not a list"),
        ("{query: x}", "rule 1: name: None"),
        ("{name: Upper, query: x}", "rule 1: name: 'Upper'"),
        ("{name: a, query: x, interval: 3}", "rule 1 (a): unknown field 'interval'"),
        ("{name: a, query: x, [b]: 3}", "rule 1: a list cannot be the name of a field"),
        ("{name: a}", f"rule 1 (a): {NEEDS_ONE_KIND}"),
        ("{name: a, query: }", f"rule 1 (a): {NEEDS_ONE_KIND}"),
        ("{name: a, query: x, accounts: [b]}", f"rule 1 (a): {NEEDS_ONE_KIND}"),
        ("{name: a, query: ' '}", "rule 1 (a): query:"),
        ("{name: a, query: 7}", "rule 1 (a): query:"),
        ("{name: a, query: {b: c}}", "rule 1 (a): query: expected one value, not a group of fields"),
        (
            f"{{name: a, query: {'x' * 513}}}",
            "rule 1 (a): query: must be text of 1 to 512 characters, but has 513",
        ),
        ('{name: a, query: "a\\0b"}', "rule 1 (a): query: holds a character that is not text"),
        ('{name: a, query: "a\\uD83Db"}', "rule 1 (a): query: holds a character that is not text"),
        ('{name: a, query: "(tide OR"}', "rule 1 (a): query: column 1, at '(tide OR'"),
        ("{name: a, accounts: []}", "rule 1 (a): accounts:"),
        ("{name: a, accounts: bob}", "rule 1 (a): accounts: 'bob' must be a list of account names"),
        ("{name: a, accounts: [[b]]}", "rule 1 (a): accounts: expected text, not a list"),
        ("{name: a, accounts: [no spaces please]}", "rule 1 (a): accounts: 'no spaces please'"),
        ("{name: a, accounts: ['']}", "rule 1 (a): accounts: ''"),
        ("{name: a, accounts: [7]}", "rule 1 (a): accounts: 7"),
        (f"{{name: a, accounts: [{'b' * 51}]}}", "rule 1 (a): accounts: 'bbb"),
        (
            f"{{name: a, accounts: [{', '.join(f'b{n}' for n in range(101))}]}}",
            "rule 1 (a): accounts: must be a list",
        ),
        ("{name: a, query: x, interval_seconds: 0}", "rule 1 (a): interval_seconds: 0"),
        ("{name: a, query: x, interval_seconds: 86401}", "rule 1 (a): interval_seconds: 86401"),
        ("{name: a, query: x, interval_seconds: true}", "rule 1 (a): interval_seconds: True"),
        ("{name: a, query: x, interval_seconds: 1.5}", "rule 1 (a): interval_seconds: 1.5"),
        ("{name: a, query: x, interval_seconds: '60'}", "rule 1 (a): interval_seconds: '60'"),
        ("{name: a, query: x, interval_seconds: }", "rule 1 (a): interval_seconds: None"),
        ("{name: a, query: x, enabled: 'yes'}", "rule 1 (a): enabled: 'yes'"),
        ("{name: a, query: x, enabled: 1}", "rule 1 (a): enabled: 1"),
        (
            "{name: a, query: x, page_size: 9}",
            "rule 1 (a): page_size: 9 must be a whole number from 10 to 100",
        ),
        ("{name: a, query: x, page_size: 101}", "rule 1 (a): page_size: 101"),
        (
            "{name: a, query: x, first_poll_days: 8}",
            "rule 1 (a): first_poll_days: 8 must be a whole number from 1 to 7",
        ),
        ("{name: a, accounts: [b], first_poll_days: 0}", "rule 1 (a): first_poll_days: 0"),
        ("{name: a, accounts: [b], first_poll_days: 7301}", "rule 1 (a): first_poll_days: 7301"),
        ("{name: a, query: x, overlap_seconds: -1}", "rule 1 (a): overlap_seconds: -1"),
        ("{name: a, query: x, overlap_seconds: 3601}", "rule 1 (a): overlap_seconds: 3601"),
        ("{name: a, query: x, budget_usd: 0}", "rule 1 (a): budget_usd: 0"),
        ("{name: a, query: x, budget_usd: -5}", "rule 1 (a): budget_usd: -5"),
        ("{name: a, query: x, budget_usd: .inf}", "rule 1 (a): budget_usd: .inf"),
        (
            "{name: a, query: x, budget_usd: 0.00001}",
            "rule 1 (a): budget_usd: 0.00001 must have no more than four",
        ),
        ("{name: a, query: x, budget_usd: $5}", "rule 1 (a): budget_usd: '$5'"),
    ],
)
def test_a_wrong_rule_is_named_with_its_field(tmp_path: Path, rule: str, told: str):
    """The message is enough to find the line."""
    told_of = refusal(tmp_path, f"rules:\n  - {rule}\n")
    assert told_of.startswith(told)
    assert told_of.endswith("(line 2)")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{name: on, query: x}", "rule 1: name: True (written 'on') is true or false in YAML, not text"),
        ("{name: No, query: x}", "rule 1: name: False (written 'No')"),
        ("{name: 2024, query: x}", "rule 1: name: 2024 is a number in YAML"),
        ("{name: 2024-05-01, query: x}", "rule 1: name: 2024-05-01 is a date in YAML"),
        ("{name: ~, query: x}", "rule 1: name: None"),
        (
            "{name: a, query: 2024-05-01}",
            "rule 1 (a): query: 2024-05-01 is a date in YAML, not text; put it in quotes",
        ),
        ("{name: a, query: 2024-99-99}", "rule 1 (a): query: 2024-99-99 is a date"),
        ("{name: a, query: 12:30:45}", "rule 1 (a): query: 12:30:45 is a number"),
        ("{name: a, query: 1_000}", "rule 1 (a): query: 1_000 is a number"),
        ("{name: a, query: yes}", "rule 1 (a): query: True (written 'yes')"),
        ("{name: a, accounts: [alice, off]}", "rule 1 (a): accounts: False (written 'off')"),
        ("{name: a, accounts: [0x1F]}", "rule 1 (a): accounts: 0x1F is a number"),
        ("{name: a, accounts: [null]}", "rule 1 (a): accounts: None (written 'null') is nothing in YAML"),
        ("{name: a, accounts: [.nan]}", "rule 1 (a): accounts: .nan is a number"),
        ("{name: a, query: x, interval_seconds: 0100}", "rule 1 (a): interval_seconds: 0100 must be"),
        ("{name: a, query: x, interval_seconds: 1:00}", "rule 1 (a): interval_seconds: 1:00 must be"),
        ("{name: a, query: x, interval_seconds: 1_0}", "rule 1 (a): interval_seconds: 1_0 must be"),
        (f"{{name: a, query: x, interval_seconds: {'9' * 5000}}}", "rule 1 (a): interval_seconds: 999"),
        ("{name: a, query: x, query: y}", "rule 1: query: is given twice, in lines 2 and 2"),
        ("{name: a, name: b, query: y}", "rule 1: name: is given twice"),
        ('{"name\\u200b": a, query: x}', "rule 1: unknown field 'name\\u200b'"),
        ('{name: "a\\u200bb", query: x}', "rule 1: name: 'a\\u200bb'"),
        ('{name: a, accounts: ["bob\\u200b"]}', "rule 1 (a): accounts: 'bob\\u200b'"),
        (
            '{name: a, query: "tide\\u200bs"}',
            "rule 1 (a): query: holds a character that cannot be seen: U+200B at column 5",
        ),
        ("{name: a, query: x, <<: {<<: {page_size: 10}}}", "rule 1 (a): unknown field '<<'"),
        ("{name: a, query: x, <<: 7}", "rule 1: <<: takes the fields of an anchor"),
    ],
)
def test_a_text_that_yaml_reads_as_another_type_is_refused(tmp_path: Path, rule: str, told: str):
    """Booleans, dates, octal and sexagesimal numbers, duplicate keys, and invisible characters."""
    assert refusal(tmp_path, f"rules:\n  - {rule}\n").startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no rule"),
        ("# only a comment\n", "names no rule"),
        ("---\n", "names no rule"),
        ("rules:\n", "names no rule"),
        ("rules: []\n", "names no rule"),
        ("[]", "names no rule"),
        ("- {name: a, query: x}\n", "expected a list under 'rules:', not a list without it"),
        ("tides", "expected a list under 'rules:', not 'tides' without it"),
        ("rules: {a: b}", "expected a list under 'rules:', not a group of fields"),
        ("rule: [{name: a, query: x}]", "line 1: unknown field 'rule'"),
        (
            "rules: [{name: a, query: x}]\nrules: [{name: b, query: x}]\n",
            "rules: is given twice, in lines 1 and 2",
        ),
        (
            "rules: [{name: a, query: x}]\n---\nrules: [{name: b, query: x}]\n",
            "holds more than one YAML document",
        ),
        ("rules:\n - {name: a", "line 2, column"),
        ("rules:\n\t- {name: a, query: x}\n", "line 2, column 1: found character '\\t'"),
        ("rules:\n  - name: a\n    query: (tide OR tides): x\n", "line 3, column"),
        ("rules: [\x07]", "line 1: holds the control character U+0007"),
        ("rules:\n  - name: a\n    query: *tide\n", "line 3: *tide has no &tide before it"),
        (
            "rules: !!python/object/apply:os.system ['true']",
            "line 1: the tag tag:yaml.org,2002:python/object",
        ),
        ('rules: [{name: a, query: "\\U00110000"}]', "is not YAML"),
        ("rules: [{name: a, query: x}]\n".encode("utf-16"), "is UTF-16 or binary; save it as UTF-8"),
        ("rules: [{name: a, query: x}]\n".encode("utf-16-le"), "is UTF-16 or binary"),
        ("rules:\n  - {name: a, query: café}\n".encode("latin-1"), "line 2: is not UTF-8 (byte 0xe9)"),
        (b"\x7fELF\x00\x00", "is UTF-16 or binary"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
        ("[" * 100_000, "line 1: is nested deeper than 20 levels"),
        ("rules: &a [*a]\n", "rule 1: expected fields such as name and query, not a list"),
        (f"rules: [{'x, ' * 10_001}]", "names 10001 rules; at most 10000 are read"),
    ],
)
def test_a_file_that_is_not_a_list_of_rules_is_refused(tmp_path: Path, text: str | bytes, told: str):
    """Empty, of another shape, broken YAML, in another encoding, or too large."""
    assert refusal(tmp_path, text).startswith(told)


def test_a_file_that_would_expand_without_end_is_refused_at_once(tmp_path: Path):
    """Ten lines of aliases are two gigabytes to a reader that follows them."""
    lines = ["x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"x-{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 10)]
    bomb = "\n".join(lines).replace("x0: &x0", "x-0: &x0")
    assert refusal(tmp_path, f"{bomb}\nrules: *x9\n").startswith("rule 1: expected fields")
    fields = "x-a: &a {page_size: 10}\n"
    merges = f"rules: [{{name: a, query: x, <<: [{', '.join(['*a'] * 1000)}]}}]"
    assert refusal(tmp_path, fields + merges).startswith("rule 1: <<: takes at most")


def test_what_rules_share_may_stand_in_an_anchor(tmp_path: Path):
    """A rule's own fields override those of the anchor; a top-level key for anchors begins with x-."""
    text = """
    x-often: &often {interval_seconds: 30, page_size: 50}
    rules:
      - {<<: *often, name: a, query: x, page_size: 20}
      - {name: b, query: y, <<: [*often]}
    """
    assert [(rule.interval_seconds, rule.page_size) for rule in rules_of(tmp_path, text)] == [
        (30, 20),
        (30, 50),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfrules:\n  - {name: a, query: x y}\n",
        b"rules:\r\n  - name: a\r\n    query: x y\r\n",
        b"rules:\n- name: 'a'\n  query: >-\n    x\n    y\n",
        b"rules:\n- name: a\n  query: |\n    x\n    y\n",
        b'rules: [{"name": "a", "query": "\\tx\\u00a0 y\\n"}]',
        b"rules:\n- name: !!str a\n  query: x\xe3\x80\x80y\n",
        b"%YAML 1.1\n---\nrules:\n- name: a\n  query: x y\n...\n",
    ],
)
def test_one_query_may_be_written_in_many_ways(tmp_path: Path, text: bytes):
    """With a byte order mark, Windows line ends, on several lines, as JSON, with a wide space."""
    assert [(rule.name, rule.spec["query"]) for rule in rules_of(tmp_path, text)] == [("a", "x y")]


def test_two_rules_of_one_name_are_refused(tmp_path: Path):
    """They would share their checkpoints."""
    told = refusal(tmp_path, "rules:\n - {name: a, query: x}\n - {name: a, query: y}\n")
    assert told == "rule 2 (a): name: rule names must be unique, but a is used twice (also rule 1)"


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str):
    """Missing, or a folder."""
    with pytest.raises(BadRules, match=str(tmp_path)):
        read_rules(tmp_path / name)


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        (Rule("a", "search", {"query": "tea"}), Rule("b", "search", {"query": " tea\n"}), True),
        (
            Rule("a", "search", {"query": "tea  lang:en"}),
            Rule("a", "search", {"query": "tea lang:en"}, 5, False, 10, 1, 0),
            True,
        ),
        (Rule("a", "search", {"query": "tea"}), Rule("a", "search", {"query": "Tea"}), False),
        (
            Rule("a", "search", {"query": "tea or coffee"}),
            Rule("a", "search", {"query": "tea OR coffee"}),
            False,
        ),
        (Rule("a", "timeline", {"accounts": ["alice"]}), Rule("a", "timeline", {"accounts": ["bob"]}), True),
        (Rule("a", "search", {"query": "timeline"}), Rule("a", "timeline", {"accounts": ["bob"]}), False),
    ],
)
def test_a_checkpoint_belongs_to_what_is_asked(one: Rule, another: Rule, same: bool):
    """White space, interval and limits do not change what is asked; another query does; each account has its own."""
    assert (one.asked == another.asked) is same


@pytest.mark.parametrize(
    "file", [Path("rules.yaml.example"), Path("include/src/twitter_pipeline/deployment/sample_rules.yaml")]
)
def test_the_rules_that_are_shipped_can_be_read(file: Path):
    """The example with every setting, and the rules for the simulator."""
    rules = read_rules(Path(__file__).parents[3] / file)
    assert all(rule.is_enabled or rule.name == "observatories" for rule in rules)
    assert len({rule.asked for rule in rules}) > 1
