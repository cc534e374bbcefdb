"""One rule: what it asks, how often, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from twitter_pipeline.collection.query_check import BadQuery, fold_spaces, normal_query
from twitter_pipeline.text import RULE_NAME, USERNAME

NAME = RULE_NAME
MOST_ACCOUNTS = 100
SEARCH_DAYS = 7  # how far recent search reaches back
TIMELINE_DAYS = 7300  # a timeline gives its 3,200 newest tweets at most, however old
SHOWN = 80
LARGEST_BUDGET_USD = Decimal(1_000_000)
FIELDS = (
    "name",
    "query",
    "accounts",
    "interval_seconds",
    "enabled",
    "page_size",
    "first_poll_days",
    "overlap_seconds",
    "budget_usd",
)


class BadField(ValueError):
    """A field of a rule is wrong; the text names the field."""


@dataclass(frozen=True)
class Rule:
    """One rule: either a search `query` or the `accounts` whose timelines are read.

    `page_size` is how many tweets a request may bring; `first_poll_days` how far back a poll without a checkpoint
    reaches; `overlap_seconds` how far each poll goes back over the one before; `budget_usd` the most that the rule may
    cost in a calendar month (UTC), None when only the total budget holds.
    """

    name: str
    query: str | None
    accounts: list[str] | None
    interval_seconds: int = 60
    is_enabled: bool = True
    page_size: int = 100
    first_poll_days: int = SEARCH_DAYS
    overlap_seconds: int = 60
    budget_usd: Decimal | None = None

    @property
    def asked(self) -> str:
        """What a checkpoint of this rule belongs to: the query, but for its white space; the same for all timelines.

        Two rules of equal `asked` continue each other's polls. Timelines have a checkpoint per account, whose history
        does not depend on the other accounts of the rule.
        """
        return f"search {fold_spaces(self.query)}" if self.query is not None else "timeline"


def rule_of(given: Mapping[str, Any]) -> Rule:
    """The rule of these fields, whose types are right already. Raises BadField for values that are not."""
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadField(
            f"name: {_shown(name)} must be 1 to 63 of a-z 0-9 _ - and start with a letter or digit"
        )
    query, accounts = given.get("query"), given.get("accounts")
    if (query is None) == (accounts is None):
        raise BadField("needs either query or accounts")
    if query is not None:
        try:
            query = normal_query(query)
        except BadQuery as bad:
            raise BadField(f"query: {bad}") from None
    reach = TIMELINE_DAYS if query is None else SEARCH_DAYS
    return Rule(
        name,
        query,
        None if accounts is None else _usernames(accounts),
        _whole(given, "interval_seconds", 60, 1, 86_400),
        given.get("enabled", True),
        _whole(given, "page_size", 100, 10, 100),
        _whole(given, "first_poll_days", SEARCH_DAYS, 1, reach, "" if query is None else " for a query"),
        _whole(given, "overlap_seconds", 60, 0, 3_600),
        _dollars(given.get("budget_usd")),
    )


def _usernames(accounts: list[str]) -> list[str]:
    if not 1 <= len(accounts) <= MOST_ACCOUNTS:
        raise BadField(f"accounts: must be a list of 1 to {MOST_ACCOUNTS} account names")
    for account in accounts:
        if not USERNAME.fullmatch(account.removeprefix("@")):
            raise BadField(f"accounts: {_shown(account)} is no account name: 1 to 50 of A-Z a-z 0-9 _")
    return sorted({account.removeprefix("@").lower() for account in accounts})


def _shown(value: str | None) -> str:
    return repr(value if value is None or len(value) <= SHOWN else f"{value[:SHOWN]}…")


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
            f"budget_usd: {budget} must be an amount in US dollars above 0; to spend nothing say enabled: false"
        )
    if budget != round(budget, 4):
        raise BadField(f"budget_usd: {budget} must have no more than four decimals")
    return budget
