"""The provider and the domain do not know each other; what both say about money is the same."""

import re
from decimal import Decimal

from airflow_provider_twitter.client import ledger
from airflow_provider_twitter.client.endpoints import TABLE, endpoint_at
from airflow_provider_twitter.client.pricing import worst_case_usd
from twitter_pipeline.collection import circuits, settlement


def test_a_circuit_opens_and_probes_alike_in_memory_and_in_postgresql() -> None:
    """The operator's own books and the pipeline's have the same limits."""
    for name in ("UNKNOWN_IN_A_ROW", "FIRST_PROBE_AFTER", "LONGEST_PROBE_WAIT"):
        assert getattr(ledger, name) == getattr(circuits, name)


def test_what_usage_figures_are_settled_at_is_the_price_of_the_client() -> None:
    """A post with a new author, at each endpoint that reads posts."""
    params = {"max_results": "10", "ids": ",".join(map(str, range(10))), "expansions": "author_id"}
    for endpoint in TABLE:
        brings_posts = not re.match(settlement.BRINGS_NO_POSTS, endpoint.path)
        assert brings_posts == (endpoint.answer == "tweets"), endpoint
        if brings_posts:
            assert worst_case_usd(endpoint, params) == 10 * settlement.MOST_PER_POST_USD
    assert worst_case_usd(endpoint_at("/2/usage/tweets"), {}) == Decimal(0)
