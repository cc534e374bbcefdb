"""Verify contracts end to end: record and count their results, and fail if a check failed."""

from collections.abc import Sequence
from pathlib import Path

import psycopg

from twitter_pipeline.metrics.statsd import Metrics
from twitter_pipeline.quality.contracts import Checked, ContractUnusable, record, verify


class ContractFailed(RuntimeError):
    """Checks failed; the text names each. The rows are not changed; a retry would find the same."""


def verify_and_record(
    connection: psycopg.Connection,
    folder: Path,
    names: Sequence[str],
    reader_dsn: str,
    run_id: str,
    metrics: Metrics,
) -> int:
    """Verify contracts over `reader_dsn` and store the results over `connection`; returns the number of checks.

    Raises after all were verified and stored: ContractFailed if a check failed, otherwise ContractUnusable if a
    contract could not be verified.
    """
    count, failed, unusable = 0, list[Checked](), list[ContractUnusable]()
    for name in names:
        try:
            checks = verify(folder, name, reader_dsn)
        except ContractUnusable as error:
            unusable.append(error)
            if error.contract is None:
                continue
            # stored, so that it is reported as not evaluated, and not verified again at once
            checks = [Checked(error.contract, "the contract itself", None, "not_evaluated", None, None)]
        bad = [check for check in checks if not check.is_good]
        record(connection, run_id, checks)
        for check in checks:
            metrics.count("quality_checks_total", contract=check.contract, outcome=check.outcome)
        metrics.gauge("quality_failed_checks", len(bad), contract=checks[0].contract)
        count += len(checks)
        failed += [check for check in bad if check.outcome == "failed"]
    if failed:
        raise ContractFailed("\n".join(map(str, failed)))
    if unusable:
        raise ContractUnusable("\n".join(map(str, unusable)))
    return count
