"""`mentions:` reads the tweets that mention accounts. X gives the 800 newest of each account at most, however old."""

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kind import AccountKind, Spec, Target


class Mentions(AccountKind):
    """The tweets of anybody that mention an account; each account has a checkpoint of its own."""

    name = "mentions"
    field = "mentions"
    option = "--mentions-of"
    help = "Read the tweets that mention this account; repeat for more accounts."

    def shown(self, spec: Spec) -> str:
        """All names."""
        return f"mentions of {', '.join(self.value(spec))}"

    def target(self, account: Account) -> Target:
        """The mentions of the account."""
        user = {"id": account.user_id}
        return Target("user_mentions", user, f"mentions {account.user_id}", "mentions", account)


KIND = Mentions()
