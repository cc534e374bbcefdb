"""The interface of every kind of rule: the base classes of the files in `kinds/`, and of the targets they return.

A rule is a kind and a spec. The kind reads the one field of a rule that says what to ask for, stores it as the spec, and
returns the targets to poll. Everything else (files, commands, lists, leases, polling) uses kinds only through this.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.text import USERNAME

Spec = Mapping[str, Any]
"""What a rule asks for, as stored in pipeline.rules.spec (JSON)."""
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

    `endpoint` is the name of X's endpoint in the client's table and `parameters` are sent to it. `subject` identifies
    the checkpoint. `source` is how pages and envelopes name the origin of the tweets. `account` is the account whose
    tweets are read: what X says about it is stored with it; if it is None, a refused request parks the rule. `succeeds`
    is the prefix of the subjects of the rule's earlier checkpoints that this target replaces; empty for none.
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
    """The value in pipeline.rules.kind: lower case, underscores."""
    field: ClassVar[str]
    """The field that makes a rule one of this kind, and its key in `rules list --json`."""
    takes: ClassVar[Takes]
    option: ClassVar[str]
    """The option of `rules add` for the field; repeated for each name if the field takes account names."""
    help: ClassVar[str]
    """What that option is for, in one sentence."""
    reach_days: ClassVar[int] = LONGEST_REACH_DAYS
    """How far back a first poll may reach. A poll that reaches this far leaves the start to X."""

    @property
    def within(self) -> str:
        """What `reach_days` limits, to end the message about a refused number; empty if the limit is general."""
        return "" if self.reach_days == LONGEST_REACH_DAYS else f" for {self.field}"

    @abstractmethod
    def parse(self, value: Any) -> dict[str, Any]:
        """The spec of a rule whose field holds `value`, already of the type that the field takes. Raises BadField."""

    @abstractmethod
    def value(self, spec: Spec) -> str | list[str]:
        """The value of the field in a rule with this spec."""

    @abstractmethod
    def shown(self, spec: Spec) -> str:
        """What the rule asks for, in one line for a person."""

    @abstractmethod
    def asked(self, spec: Spec) -> str:
        """What the rule's checkpoints belong to: two rules with equal `asked` continue each other's polls."""

    def accounts(self, spec: Spec) -> list[str]:
        """Names of the accounts whose ids must be known before there are targets."""
        return []

    @abstractmethod
    def targets(self, spec: Spec, accounts: Sequence[Account]) -> list[Target]:
        """What to poll now, in this order; `accounts` are those of the named accounts that X knows and shows."""


class AccountKind(Kind):
    """A kind that polls each account of a list; one account never holds up the others."""

    takes = Takes.ACCOUNT_NAMES

    def parse(self, value: Any) -> dict[str, Any]:
        """The names in lower case, without @, sorted, once each."""
        if not 1 <= len(value) <= MOST_ACCOUNTS:
            raise BadField(f"{self.field}: must be a list of 1 to {MOST_ACCOUNTS} account names")
        names = [name.removeprefix("@") for name in value]
        for given, name in zip(value, names, strict=True):
            if not USERNAME.fullmatch(name):
                raise BadField(
                    f"{self.field}: {shown(given)} is not an account name: 1 to 50 of A-Z a-z 0-9 _"
                )
        return {"accounts": sorted({name.lower() for name in names})}

    def value(self, spec: Spec) -> list[str]:
        """The names."""
        return list(spec["accounts"])

    def asked(self, spec: Spec) -> str:
        """The same for all rules of the kind: an account's history does not depend on the others in the list."""
        return self.name

    def accounts(self, spec: Spec) -> list[str]:
        """All names in the list."""
        return self.value(spec)

    @abstractmethod
    def target(self, account: Account) -> Target:
        """What to poll for one account."""

    def targets(self, spec: Spec, accounts: Sequence[Account]) -> list[Target]:
        """One target per account."""
        return [self.target(account) for account in accounts]


def shown(value: str | None) -> str:
    """The value of a field for a message: quoted and shortened."""
    return repr(value if value is None or len(value) <= SHOWN else f"{value[:SHOWN]}…")
