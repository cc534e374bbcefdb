"""What every kind of rule says of itself: the base of the files in `kinds/`, and of what they name.

A rule is a kind and a spec. The kind reads the one field of a rule that says what to ask for, keeps it as the spec, and
names the targets to poll. Everything else (files, commands, lists, leases, polling) knows kinds only by this.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.text import USERNAME

Spec = Mapping[str, Any]
"""What a rule asks for, as JSON keeps it in pipeline.rules.spec."""
LONGEST_REACH_DAYS = 7300
MOST_ACCOUNTS = 100
SHOWN = 80


class BadField(ValueError):
    """A field of a rule is wrong; the text begins with the name of the field."""


class Takes(Enum):
    """What the field of a kind holds in a rules file."""

    TEXT = "text"
    ACCOUNT_NAMES = "a list of account names"


@dataclass(frozen=True)
class Target:
    """One thing to poll, with a checkpoint of its own.

    `endpoint` is the name of X's endpoint in the client's table and `parameters` are what is asked of it. `subject` is
    the checkpoint's. `source` is what pages and envelopes call the way in which the tweets came. `account` is whose
    tweets are read: what X says about it is kept with it; where it is None, a refused request parks the rule.
    `succeeds` begins the subjects of the rule's earlier checkpoints that this target takes the place of: empty for none.
    """

    endpoint: str
    parameters: Mapping[str, Any]
    subject: str
    source: str
    account: Account | None = None
    succeeds: str = ""


class Kind(ABC):
    """One kind of rule. A file in `kinds/` holds one subclass and an instance of it as `KIND`."""

    name: ClassVar[str]
    """As pipeline.rules.kind has it: lower case, underscores."""
    field: ClassVar[str]
    """The field of a rule that makes it one of this kind, and how `rules list --json` calls it."""
    takes: ClassVar[Takes]
    option: ClassVar[str]
    """The option of `rules add` for the field; given once a name where the field takes account names."""
    help: ClassVar[str]
    """What that option is for, in one sentence."""
    reach_days: ClassVar[int] = LONGEST_REACH_DAYS
    """How far a first poll may reach back. One that reaches so far leaves the start to X."""

    @property
    def within(self) -> str:
        """For whom `reach_days` is the limit, to stand behind a refused number; empty where it is everybody's."""
        return "" if self.reach_days == LONGEST_REACH_DAYS else f" for {self.field}"

    @abstractmethod
    def parse(self, value: Any) -> dict[str, Any]:
        """The spec of a rule whose field holds `value`, which has the type that the field takes. Raises BadField."""

    @abstractmethod
    def value(self, spec: Spec) -> str | list[str]:
        """What the field of a rule of this spec holds."""

    @abstractmethod
    def shown(self, spec: Spec) -> str:
        """What is asked for, in one line for a person."""

    @abstractmethod
    def asked(self, spec: Spec) -> str:
        """What the rule's checkpoints belong to: two rules of equal `asked` continue each other's polls."""

    def accounts(self, spec: Spec) -> list[str]:
        """Names of the accounts whose ids must be known before there are targets."""
        return []

    @abstractmethod
    def targets(self, spec: Spec, accounts: Sequence[Account]) -> list[Target]:
        """What to poll now, in this order; `accounts` are those of the named ones that X knows and shows."""


class AccountKind(Kind):
    """A kind that asks for something of each account of a list; one account never holds up the others."""

    takes = Takes.ACCOUNT_NAMES

    def parse(self, value: Any) -> dict[str, Any]:
        """The names in lower case, without @, sorted, once each."""
        if not 1 <= len(value) <= MOST_ACCOUNTS:
            raise BadField(f"{self.field}: must be a list of 1 to {MOST_ACCOUNTS} account names")
        names = [name.removeprefix("@") for name in value]
        for given, name in zip(value, names, strict=True):
            if not USERNAME.fullmatch(name):
                raise BadField(f"{self.field}: {shown(given)} is no account name: 1 to 50 of A-Z a-z 0-9 _")
        return {"accounts": sorted({name.lower() for name in names})}

    def value(self, spec: Spec) -> list[str]:
        """The names."""
        return list(spec["accounts"])

    def asked(self, spec: Spec) -> str:
        """The same for all rules of the kind: an account's history does not depend on the others in the list."""
        return self.name

    def accounts(self, spec: Spec) -> list[str]:
        """All of the list."""
        return self.value(spec)

    @abstractmethod
    def target(self, account: Account) -> Target:
        """What to poll for one account."""

    def targets(self, spec: Spec, accounts: Sequence[Account]) -> list[Target]:
        """One target an account."""
        return [self.target(account) for account in accounts]


def shown(value: str | None) -> str:
    """A value of a field as it stands in a message: quoted and not without end."""
    return repr(value if value is None or len(value) <= SHOWN else f"{value[:SHOWN]}…")
