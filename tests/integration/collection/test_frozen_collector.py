"""A collector that freezes in the middle of a reservation does not block the others for long."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from twitter_pipeline.collection import budget


@pytest.mark.soak
def test_a_collector_frozen_in_a_reservation_loses_the_lock(postgres: Any):
    """One process reserves at a time; the server ends a transaction that is not continued."""

    class Frozen(psycopg.Connection[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            if query == budget.SPENT_THIS_MONTH:
                with psycopg.connect(postgres.dsn, autocommit=True) as other:
                    budget.reserve(other, "/other", Decimal(1), Decimal(5), None)
            return super().execute(query, *args, **kwargs)

    with (
        Frozen.connect(postgres.dsn, autocommit=True) as frozen,
        pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout),
    ):
        budget.reserve(frozen, "/frozen", Decimal(1), Decimal(5), None)
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("select endpoint from pipeline.spend").fetchall() == [("/other",)]
