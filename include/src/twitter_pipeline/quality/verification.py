"""One contract from end to end: verified, recorded, counted, and said loudly when it fails."""

from pathlib import Path

import psycopg

from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.quality.contracts import Checked, ContractUnusable, record, verify


class ContractFailed(RuntimeError):
    """A check did not pass; the text names each. The rows stay as they are; a retry would find the same."""


def verify_and_record(
    connection: psycopg.Connection, folder: Path, name: str, reader_dsn: str, run_id: str, metrics: Metrics
) -> int:
    """Verify a contract as `reader_dsn`, keep its results over `connection`; returns the number of checks.

    Raises ContractFailed after the results are kept, ContractUnusable when nothing could be asked.
    """
    try:
        checks = verify(folder, name, reader_dsn)
    except ContractUnusable as unusable:
        if unusable.contract is not None:  # so that it is told as what it is, and not asked again at once
            nothing = Checked(unusable.contract, "the contract itself", None, "not_evaluated", None, None)
            record(connection, run_id, [nothing])
        raise
    record(connection, run_id, checks)
    for check in checks:
        metrics.count("quality_checks_total", contract=check.contract, outcome=check.outcome)
    failed = [check for check in checks if not check.is_good]
    metrics.gauge("quality_failed_checks", len(failed), contract=checks[0].contract)
    if failed:
        raise ContractFailed(_told(failed))
    return len(checks)


def _told(failed: list[Checked]) -> str:
    return "\n".join(str(check) for check in failed)
