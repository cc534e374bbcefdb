"""`accounts:` are read by their timelines. A timeline gives its 3,200 newest tweets at most, however old."""

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kind import AccountKind, Spec, Target


class Timeline(AccountKind):
    """The own tweets of each account; the checkpoint of an account is its user id."""

    name = "timeline"
    field = "accounts"
    option = "--account"
    help = "Read this account's timeline; again for more."

    def shown(self, spec: Spec) -> str:
        """All names."""
        return f"timelines of {', '.join(self.value(spec))}"

    def target(self, account: Account) -> Target:
        """The account's timeline."""
        user = {"id": account.user_id}
        return Target("user_tweets", user, str(account.user_id), "timeline", account)


KIND = Timeline()
