"""The rules file: YAML that is read completely or refused, naming the file, the rule and the field that is wrong.

    rules:
      - name: python
        query: "#python lang:en"
        interval_seconds: 30
      - name: newsroom
        accounts: [alice, bob]
        enabled: false

YAML reads `on` as true, `2024-05-01` as a date and `0100` as 64, drops the first of two equal keys and lets ten lines
expand to gigabytes. So the file is read event by event, keeping the source text and its line, and each field says which
of YAML's types it takes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from twitter_pipeline.collection.kind import BadField, Takes
from twitter_pipeline.collection.kinds import KINDS
from twitter_pipeline.collection.rule import FIELDS, NAME, Rule, rule_of

MOST_BYTES = 1024 * 1024
MOST_RULES = 10_000
DEEPEST = 20
MOST_MERGES = 20
YAML_TAG = "tag:yaml.org,2002:"
TYPES = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
    "merge": "a merge",
}
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", re.ASCII)
TRUE = {"true", "yes", "on"}  # what YAML 1.1 reads as true
SHOWN = 60
NO_RULE = "names no rule; to stop a rule keep it with enabled: false"
TEXTS = {"name", *(kind.field for kind in KINDS.values() if kind.takes is Takes.TEXT)}
LISTS = {kind.field for kind in KINDS.values() if kind.takes is Takes.ACCOUNT_NAMES}
EXTENSION = "x-"  # prefix of top-level keys for anchors that several rules share


class BadRules(ValueError):
    """The rules file cannot be used; the text names file, rule and field. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class _Scalar:
    text: str
    type: str  # a key of TYPES, or "text"
    line: int

    def __str__(self) -> str:
        """As YAML read it, and as it is written where that differs."""
        text = self.text if len(self.text) <= SHOWN else f"{self.text[:SHOWN]}…"
        if self.type == "text":
            return repr(text)
        if self.type in {"bool", "null"}:
            understood = "None" if self.type == "null" else str(self.text.lower() in TRUE)
            return f"{understood} (written {text!r})" if text else understood
        return text


@dataclass(frozen=True, slots=True)
class _List:
    line: int
    items: list["_Node"] = field(default_factory=list)

    def __str__(self) -> str:
        return "a list"


@dataclass(frozen=True, slots=True)
class _Fields:
    line: int
    pairs: list[tuple["_Node", "_Node"]] = field(default_factory=list)

    def __str__(self) -> str:
        return "a group of fields"


_Node = _Scalar | _List | _Fields


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file, at least one. Raises BadRules."""
    try:
        return _rules(_document(_text(path)))
    except (BadRules, BadField) as bad:
        raise BadRules(f"{path}: {bad}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise BadRules("there is no such file; write one or set PIPELINE_RULES") from None
    except (OSError, ValueError) as error:
        raise BadRules(f"cannot be read: {error}") from None
    if len(content) > MOST_BYTES:
        raise BadRules(f"is larger than {MOST_BYTES} bytes; is it a rules file?")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in content:
        raise BadRules("is UTF-16 or binary; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadRules(
            f"line {line}: is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from None
    return text


def _document(text: str) -> _Node:
    """The one document of the text."""
    try:
        loader = yaml.SafeLoader(text)
        documents = list(_documents(loader))
    except BadRules:
        raise
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadRules(
            f"line {line}: holds the control character U+{ord(text[error.position]):04X}"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = "; indent by spaces, never by tabs" if "'\\t'" in str(error.problem) else ""
        raise BadRules(f"{place}{error.problem or error.context}{hint}") from None
    except (yaml.YAMLError, ValueError) as error:  # a number of an escape that is no character
        raise BadRules(f"is not YAML: {error}") from None
    if len(documents) != 1:
        raise BadRules(
            NO_RULE
            if not documents
            else "holds more than one YAML document (a line of ---); put all rules into one list"
        )
    return documents[0]


def _documents(loader: yaml.SafeLoader) -> Iterator[_Node]:
    anchors: dict[str, _Node] = {}
    open_nodes: list[_List | _Fields] = []
    keys: list[_Node | None] = []  # for each open node: the key that waits for its value
    while loader.check_event():
        event = loader.get_event()
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            open_nodes.pop()
            keys.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        node = _node(loader, event, anchors)
        if open_nodes:
            _put(open_nodes[-1], keys, node)
        else:
            yield node
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_nodes) == DEEPEST:
                raise BadRules(f"line {node.line}: is nested deeper than {DEEPEST} levels")
            open_nodes.append(node)
            keys.append(None)


def _node(loader: yaml.SafeLoader, event: Any, anchors: dict[str, _Node]) -> Any:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise BadRules(
                f"line {line}: *{event.anchor} has no &{event.anchor} before it; a text with * needs quotes"
            )
        return anchors[event.anchor]
    if event.tag not in (None, "!", f"{YAML_TAG}str"):
        raise BadRules(f"line {line}: the tag {event.tag} is not read; remove it")
    node: _Node
    if isinstance(event, yaml.ScalarEvent):
        tag = event.tag or loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.removeprefix(YAML_TAG)
        node = _Scalar(event.value, kind if kind in TYPES else "text", line)
    else:
        node = _List(line) if isinstance(event, yaml.SequenceStartEvent) else _Fields(line)
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _put(into: _List | _Fields, keys: list[_Node | None], node: _Node) -> None:
    if isinstance(into, _List):
        into.items.append(node)
    elif (key := keys[-1]) is None:
        keys[-1] = node
    else:
        into.pairs.append((key, node))
        keys[-1] = None


def _rules(document: _Node) -> list[Rule]:
    if _is_empty(document):
        raise BadRules(NO_RULE)
    if not isinstance(document, _Fields):
        raise BadRules(f"expected a list under 'rules:', not {document} without it")
    top = _by_name(document)
    if unknown := [key for key in top if key != "rules" and not key.startswith(EXTENSION)]:
        raise BadRules(
            f"line {top[unknown[0]].line}: unknown field {unknown[0][:SHOWN]!r}; expected a list under 'rules:'"
        )
    entries = top.get("rules")
    if entries is not None and _is_empty(entries):
        raise BadRules(NO_RULE)
    if not isinstance(entries, _List):
        raise BadRules("expected a list under 'rules:'" + (f", not {entries}" if entries else ""))
    if len(entries.items) > MOST_RULES:
        raise BadRules(f"names {len(entries.items)} rules; at most {MOST_RULES} are read")
    rules, numbers = [], dict[str, int]()
    for number, entry in enumerate(entries.items, 1):
        rule = _rule(entry, number)
        if rule.name in numbers:
            raise BadRules(
                f"rule {number} ({rule.name}): name: rule names must be unique, but {rule.name} is used twice"
                f" (also rule {numbers[rule.name]})"
            )
        numbers[rule.name] = number
        rules.append(rule)
    return rules


def _is_empty(node: _Node) -> bool:
    if isinstance(node, _Scalar):
        return node.type == "null"
    return isinstance(node, _List) and not node.items


def _rule(entry: _Node, number: int) -> Rule:
    where = f"rule {number}"
    if not isinstance(entry, _Fields):
        raise BadRules(f"{where}: expected fields such as name and query, not {entry} (line {entry.line})")
    nodes: dict[str, _Node] = {}
    try:
        nodes = _by_name(entry)
        given = {"name": _value("name", nodes["name"])} if "name" in nodes else {}
        if NAME.fullmatch(given.get("name") or ""):
            where = f"{where} ({given['name']})"
        if unknown := sorted(set(nodes) - set(FIELDS)):
            raise BadField(f"unknown field {unknown[0][:SHOWN]!r}; known are {', '.join(sorted(FIELDS))}")
        return rule_of({key: value for key in nodes if (value := _value(key, nodes[key])) is not None})
    except BadField as bad:
        field = str(bad).partition(":")[0]
        line = (nodes.get(field) or entry).line
        raise BadRules(f"{where}: {bad} (line {line})") from None


def _by_name(fields: _Fields, may_merge: bool = True) -> dict[str, _Node]:
    """The fields by name; own fields override those of a merge (<<). Raises BadField."""
    own: dict[str, _Node] = {}
    merged: list[_Node] = []
    for key, value in fields.pairs:
        if not isinstance(key, _Scalar):
            raise BadField(f"{key} cannot be the name of a field")
        if key.type == "merge" and may_merge:
            merged += value.items if isinstance(value, _List) else [value]
        elif key.text in own:
            raise BadField(f"{key.text}: is given twice, in lines {own[key.text].line} and {value.line}")
        else:
            own[key.text] = value
    if len(merged) > MOST_MERGES:
        raise BadField(f"<<: takes at most {MOST_MERGES} anchors, not {len(merged)}")
    for other in merged:
        if not isinstance(other, _Fields):
            raise BadField(f"<<: takes the fields of an anchor, not {other}")
        own = _by_name(other, may_merge=False) | own
    return own


def _value(name: str, node: _Node) -> Any:
    """The value of a field, of the type that the field takes; None if it is empty. Raises BadField."""
    if name in LISTS:
        if isinstance(node, _List):
            return [_word(name, item) for item in node.items]
        if isinstance(node, _Scalar) and node.type == "null":
            return None
        raise BadField(f"{name}: {node} must be a list of account names, such as [alice, bob]")
    if not isinstance(node, _Scalar):
        raise BadField(f"{name}: expected one value, not {node}")
    if name in TEXTS:
        return None if node.type == "null" else _word(name, node)
    if name == "enabled":
        if node.type != "bool":
            raise BadField(f"enabled: {node} must be true or false")
        return node.text.lower() in TRUE
    if name == "budget_usd":
        if node.type not in {"int", "float"} or not DECIMAL.fullmatch(node.text):
            raise BadField(f"budget_usd: {node} must be an amount in US dollars, such as 5 or 0.50")
        return Decimal(node.text)
    if node.type != "int" or not WHOLE.fullmatch(node.text):
        raise BadField(f"{name}: {node} must be a whole number in plain digits")
    return int(node.text)


def _word(name: str, node: _Node) -> str:
    if not isinstance(node, _Scalar):
        raise BadField(f"{name}: expected text, not {node}")
    if node.type != "text":
        raise BadField(f"{name}: {node} is {TYPES[node.type]} in YAML, not text; put it in quotes")
    return node.text
