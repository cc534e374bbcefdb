"""`query:` is asked of X's recent search. X reaches seven days back, and a refused query parks its rule."""

from collections.abc import Sequence
from typing import Any

from twitter_pipeline.collection.accounts import Account
from twitter_pipeline.collection.kind import BadField, Kind, Spec, Takes, Target
from twitter_pipeline.collection.query_check import BadQuery, fold_spaces, normal_query

HISTORY = "search "
"""Begins the subject of each search: another query has a history of its own."""


class Search(Kind):
    """One query; its checkpoint belongs to the query and not to the rule."""

    name = "search"
    field = "query"
    takes = Takes.TEXT
    option = "--query"
    help = "A query of X's recent search."
    reach_days = 7

    @property
    def within(self) -> str:
        """For one query."""
        return " for a query"

    def parse(self, value: Any) -> dict[str, Any]:
        """The query with single spaces."""
        try:
            return {"query": normal_query(value)}
        except BadQuery as bad:
            raise BadField(f"{self.field}: {bad}") from None

    def value(self, spec: Spec) -> str:
        """The query."""
        return str(spec["query"])

    def shown(self, spec: Spec) -> str:
        """The query."""
        return self.value(spec)

    def asked(self, spec: Spec) -> str:
        """The query, but for its white space."""
        return HISTORY + fold_spaces(self.value(spec))

    def targets(self, spec: Spec, accounts: Sequence[Account]) -> list[Target]:
        """The one search; the first poll of another query than before leaves that one's checkpoint where it is."""
        query = {"query": self.value(spec)}
        return [Target("search_recent", query, self.asked(spec), "search", succeeds=HISTORY)]


KIND = Search()
