"""A kind of rule is one file, and the rest of the package finds it by itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import twitter_pipeline
from twitter_pipeline.collection import kinds
from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kind import BadField, Target
from twitter_pipeline.collection.kinds import KINDS, UnknownKind

LIKES = '''
"""`likes:` are read of accounts."""

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kind import AccountKind, Spec, Target


class Likes(AccountKind):
    """What each account likes."""

    name = "likes"
    field = "likes"
    option = "--likes-of"
    help = "Read what this account likes."
    reach_days = 30

    def shown(self, spec: Spec) -> str:
        return f"likes of {', '.join(self.value(spec))}"

    def target(self, account: Account) -> Target:
        return Target("liked_tweets", {"user_id": account.user_id}, f"likes {account.user_id}", "likes", account)


KIND = Likes()
'''
READS = """
import json, sys
from pathlib import Path
from click.testing import CliRunner
from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kinds import fields_of, shown
from twitter_pipeline.collection.rules_command import rules
from twitter_pipeline.collection.rules_file import BadRules, read_rules
[rule] = read_rules(Path(sys.argv[1]))
refused = []
for text in ("{name: a}", "{name: a, likes: bob}", "{name: a, likes: [b c]}", "{name: a, likes: [b], first_poll_days: 31}"):
    Path(sys.argv[1]).write_text("rules: [" + text + "]")
    try:
        read_rules(Path(sys.argv[1]))
    except BadRules as bad:
        refused.append(str(bad).partition("(a): ")[2])
[target] = rule.behaviour.targets(rule.spec, [Account("bob", 7)])
print(json.dumps({
    "rule": [rule.kind, rule.spec, rule.asked],
    "target": [target.endpoint, target.parameters, target.subject],
    "fields": fields_of(rule.kind, rule.spec),
    "shown": shown(rule.kind, rule.spec),
    "refused": refused,
    "option": "--likes-of" in CliRunner().invoke(rules, ["add", "--help"]).output,
}))
"""


@pytest.fixture
def with_likes(tmp_path: Path) -> Path:
    """A copy of the domain with one more file in `kinds`; the folder to import it from."""
    copy = tmp_path / "twitter_pipeline"
    shutil.copytree(
        Path(twitter_pipeline.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    (copy / "collection" / "kinds" / "likes.py").write_text(LIKES)
    return tmp_path


def test_a_new_kind_is_one_new_file(with_likes: Path) -> None:
    """Rules files, the command, lists, messages and targets know it without any other change."""
    file = with_likes / "rules.yaml"
    file.write_text("rules: [{name: a, likes: ['@Bob', alice]}]")
    run = subprocess.run(
        [sys.executable, "-c", READS, str(file)],
        env=os.environ | {"PYTHONPATH": str(with_likes)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    named = {kind.name: kind.field for kind in KINDS.values()} | {"likes": "likes"}
    fields = [named[name] for name in sorted(named)]
    assert found.pop("refused") == [
        f"needs exactly one of {', '.join(fields)} (line 1)",
        "likes: 'bob' must be a list of account names, such as [alice, bob] (line 1)",
        "likes: 'b c' is not an account name: 1 to 50 of A-Z a-z 0-9 _ (line 1)",
        "first_poll_days: 31 must be a whole number from 1 to 30 for likes (line 1)",
    ]
    assert found == {
        "rule": ["likes", {"accounts": ["alice", "bob"]}, "likes"],
        "target": ["liked_tweets", {"user_id": 7}, "likes 7"],
        "fields": dict.fromkeys(fields) | {"likes": ["alice", "bob"]},
        "shown": "likes of alice, bob",
        "option": True,
    }


def test_kinds_are_told_apart() -> None:
    """By name, which is their file's, by field and by option."""
    assert [kind.name for kind in KINDS.values()] == list(KINDS)
    for each in ("field", "option", "help"):
        assert len({getattr(kind, each) for kind in KINDS.values()}) == len(KINDS)


def test_a_search_is_one_target_whose_history_is_the_querys() -> None:
    """It replaces the rule's earlier searches, and has no account."""
    search = KINDS["search"]
    spec = search.parse("  tea \n lang:en")
    assert search.targets(spec, []) == [
        Target("search_recent", {"query": "tea lang:en"}, "search tea lang:en", "search", succeeds="search ")
    ]
    assert search.accounts(spec) == []


def test_each_account_is_a_target_with_a_history_of_its_own() -> None:
    """The checkpoint of a timeline is the user's id, as it was before there were kinds."""
    timeline = KINDS["timeline"]
    spec = timeline.parse(["@Bob", "alice", "BOB"])
    assert timeline.accounts(spec) == ["alice", "bob"]
    bob = Account("bob", 8)
    assert timeline.targets(spec, [bob]) == [Target("user_tweets", {"id": 8}, "8", "timeline", bob)]


@pytest.mark.parametrize(("kind", "value"), [("search", "(tea"), ("timeline", []), ("timeline", ["a b"])])
def test_a_wrong_value_is_told_by_the_name_of_its_field(kind: str, value: object) -> None:
    """The reader of a rules file adds the line."""
    with pytest.raises(BadField, match=f"^{KINDS[kind].field}: "):
        KINDS[kind].parse(value)


def test_a_rule_of_a_newer_version_is_shown_and_refused() -> None:
    """Lists show it; a run that would poll it gets an error that names the known kinds."""
    assert kinds.shown("mood", {"of": "bob"}) == "mood {'of': 'bob'}"
    assert set(kinds.fields_of("mood", {}).values()) == {None}
    with pytest.raises(UnknownKind, match=r"'mood' in this version; it knows .*search"):
        kinds.kind_of("mood")
