"""One rule: what it asks for, how often, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from twitter_pipeline.collection.kind import BadField, Kind, Spec, shown
from twitter_pipeline.collection.kinds import KINDS, kind_of
from twitter_pipeline.text import RULE_NAME

NAME = RULE_NAME
FIRST_POLL_DAYS = 7
NEEDS_ONE_KIND = f"needs exactly one of {', '.join(kind.field for kind in KINDS.values())}"
LARGEST_BUDGET_USD = Decimal(1_000_000)
FIELDS = (
    "name",
    *(kind.field for kind in KINDS.values()),
    "interval_seconds",
    "enabled",
    "page_size",
    "first_poll_days",
    "overlap_seconds",
    "budget_usd",
)


@dataclass(frozen=True)
class Rule:
    """One rule: `kind` names the sort of thing it asks for and `spec` says which; see `kinds`.

    `page_size` is how many tweets a request may return; `first_poll_days` how far back a poll without a checkpoint
    reaches; `overlap_seconds` how far each poll overlaps the previous one; `budget_usd` the most that the rule may cost
    in a calendar month (UTC), None when only the total budget applies.
    """

    name: str
    kind: str
    spec: Spec
    interval_seconds: int = 60
    is_enabled: bool = True
    page_size: int = 100
    first_poll_days: int = FIRST_POLL_DAYS
    overlap_seconds: int = 60
    budget_usd: Decimal | None = None

    @property
    def behaviour(self) -> Kind:
        """The rule's kind, which knows how to poll it. Raises UnknownKind for a rule that a newer version made."""
        return kind_of(self.kind)

    @property
    def asked(self) -> str:
        """What the rule's checkpoints belong to. Two rules with equal `asked` continue each other's polls."""
        return self.behaviour.asked(self.spec)

    def columns(self) -> dict[str, Any]:
        """The rule as columns of pipeline.rules."""
        return vars(self) | {"spec": Jsonb(dict(self.spec))}


def rule_of(given: Mapping[str, Any]) -> Rule:
    """Make a rule of fields whose types are already checked. Raises BadField for wrong values."""
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadField(f"name: {shown(name)} must be 1 to 63 of a-z 0-9 _ - and start with a letter or digit")
    kinds = [kind for kind in KINDS.values() if given.get(kind.field) is not None]
    if len(kinds) != 1:
        raise BadField(NEEDS_ONE_KIND)
    [kind] = kinds
    return Rule(
        name,
        kind.name,
        kind.parse(given[kind.field]),
        _whole(given, "interval_seconds", 60, 1, 86_400),
        given.get("enabled", True),
        _whole(given, "page_size", 100, 10, 100),
        _whole(given, "first_poll_days", FIRST_POLL_DAYS, 1, kind.reach_days, kind.within),
        _whole(given, "overlap_seconds", 60, 0, 3_600),
        _dollars(given.get("budget_usd")),
    )


def _whole(given: Mapping[str, Any], field: str, default: int, low: int, high: int, where: str = "") -> int:
    value: int = given.get(field, default)
    if not low <= value <= high:
        raise BadField(f"{field}: {value!r} must be a whole number from {low} to {high}{where}")
    return value


def _dollars(budget: Decimal | None) -> Decimal | None:
    if budget is None:
        return None
    if not 0 < budget <= LARGEST_BUDGET_USD:
        raise BadField(
            f"budget_usd: {budget} must be an amount in US dollars above 0; to spend nothing set enabled: false"
        )
    if budget != round(budget, 4):
        raise BadField(f"budget_usd: {budget} must have no more than four decimals")
    return budget
