"""Where the provider's operators meet the pipeline's books."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from airflow.sdk import Context

from airflow_provider_twitter.client import RateLimited, XClient
from airflow_provider_twitter.kafka import EnvelopeSink
from airflow_provider_twitter.lookup import fetch_again
from airflow_provider_twitter.operators.collect import CollectOperator
from airflow_provider_twitter.poll import PollResult, Search, Timeline, poll
from pipeline_stores import SETTINGS, metrics, raw_store, warehouse
from twitter_pipeline.collection import accounts, budget, pages, rules
from twitter_pipeline.collection.books import PollBooks, RefetchBooks, RequestBooks


class CollectRule(CollectOperator):
    """Poll one rule of pipeline.rules: its query, or the timeline of each of its accounts.

    First the tweets that the log lost before they were landed are asked for again by their ids.
    The rule is leased while it is polled; a run that finds it leased ends skipped. While a rate limit is waited
    for the rule is given back, due at the reset, so that nobody asks before.
    """

    template_fields: Sequence[str] = ("topic", "rule")

    def __init__(self, *, rule: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rule = rule

    def collect(self, context: Context, client: XClient, sink: EnvelopeSink) -> PollResult:
        with (
            warehouse() as books,
            raw_store() as raw,
            rules.lease(books, self.rule, f"{context['run_id']}/{context['ti'].map_index}") as lease,
        ):
            limit = budget.limit(client.base_url, SETTINGS.x_budget_usd)
            shared: dict[str, Any] = {"budget_usd": limit, "metrics": metrics()}
            try:
                rule, results = rules.find(books, self.rule), []
                for page in pages.lost(books, self.rule):
                    ledger = RefetchBooks(books, raw, self.rule, **shared)
                    pages.refetched(
                        books, page, fetch_again(client, page.tweet_ids, ledger, sink, rule=self.rule)
                    )
                if rule.query is not None:
                    todo = [(Search(rule.query), PollBooks(books, raw, lease, source="search", **shared))]
                else:
                    charged = client.charged_to(RequestBooks(books, raw, self.rule, **shared))
                    todo = [
                        (
                            Timeline(user),
                            PollBooks(books, raw, lease, source="timeline", subject=str(user), **shared),
                        )
                        for user in accounts.resolve(books, rule.accounts or [], _look_up(charged)).values()
                    ]
                for target, poll_books in todo:
                    result = poll(
                        client, target, poll_books, sink, rule=self.rule, max_pages=SETTINGS.max_pages
                    )
                    if result.searched_from is not None:
                        poll_books.searched_only_from(result.searched_from)
                    results.append(result)
            except RateLimited as limited:
                lease.give_back_at(limited.reset_at + timedelta(seconds=1))
                raise
        return _sum(results)


def _look_up(client: XClient) -> Any:
    def user_ids(usernames: list[str]) -> dict[str, int]:
        return {
            str(user.value["username"]): user.id
            for user in client.users_by(usernames).data
            if user.id is not None and user.value is not None and "username" in user.value
        }

    return user_ids


def _sum(results: Sequence[PollResult]) -> PollResult:
    return PollResult(
        pages=sum(r.pages for r in results),
        tweets=sum(r.tweets for r in results),
        newest_id=max((r.newest_id for r in results if r.newest_id is not None), default=None),
        ended="max_pages" if any(r.ended == "max_pages" for r in results) else "last_page",
        cost_usd=sum((r.cost_usd for r in results), Decimal(0)),
    )
