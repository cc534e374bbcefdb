"""Implements the domain's interface to X (`collection.asking.X`) with the provider's client: only a thin translation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_provider_twitter import client, poll, refetching
from airflow_provider_twitter.client.endpoints import endpoint_named
from airflow_provider_twitter.client.proof import facts_in
from twitter_pipeline.collection import asking
from twitter_pipeline.collection.accounts import LookedUp

ERRORS: dict[type[client.XError], Callable[[Any], asking.XError]] = {
    client.RateLimited: lambda failed: asking.RateLimited(str(failed), failed.reset_at),
    client.TryAgain: lambda failed: asking.TryAgain(str(failed), failed.retry_after),
    client.InvalidRequest: lambda failed: asking.InvalidRequest(str(failed)),
    client.CredentialsRefused: lambda failed: asking.CredentialsRefused(str(failed), failed.status),
    client.SpendingStopped: lambda failed: asking.SpendingStopped(str(failed)),
    client.AddressRefused: lambda failed: asking.AddressRefused(str(failed)),
    client.XError: lambda failed: asking.XError(str(failed)),
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise the client's errors as the domain's errors, with the same messages; other errors pass through."""
    try:
        yield
    except client.XError as failed:
        made = next(made for kind, made in ERRORS.items() if isinstance(failed, kind))
        raise made(failed) from failed


@dataclass(frozen=True)
class ClientX:
    """An open provider client behind the domain's interface to X."""

    client: client.XClient

    @property
    def base_url(self) -> str:
        return self.client.base_url

    def server_now(self, now):
        return self.client.server_now(now)

    def poll(self, target, ledger, sink, **how):
        with translated():
            asked = poll.Target(endpoint_named(target.endpoint), target.parameters)
            did = poll.poll(self.client, asked, ledger, sink, **how)
        state = did.state and asking.AccountState(did.state.state, did.state.reason)
        counts = (did.pages, did.tweets, did.newest_id, did.ended, did.cost_usd, did.is_finished)
        return asking.Polled(*counts, state, did.username)

    def refetch(self, tweet_ids, ledger, sink, **how):
        with translated():
            again = refetching.refetch(self.client, tweet_ids, ledger, sink, **how)
        refused = {tweet_id: fact.reason for tweet_id, fact in again.refused.items()}
        return asking.Refetched(frozenset(again.found), refused, frozenset(again.unanswered))

    def look_up(self, usernames, ledger):
        with translated():
            page = self.client.charged_to(ledger).users_by(usernames)
        named = [user for user in page.data if user.id is not None and "username" in (user.value or {})]
        found = {str(user.value["username"]).lower(): user.id for user in named}
        return LookedUp(
            found, {name: (fact.state, fact.reason) for name, fact in facts_in(page.errors).items()}
        )
