"""Verify contracts with Soda. The only module that knows Soda.

A contract is a file in soda/, named after its table. A failed check is a result, not an exception; a contract that
cannot be verified at all (no connection, an unreadable contract) raises. Verifying never writes, and sends no telemetry.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict

# read when Soda is imported: otherwise it reports to its vendor and loads a .env file
os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
os.environ["PYTHON_DOTENV_DISABLED"] = "true"

DATA_SOURCE = "pipeline_postgres"
_DATASET = re.compile(rf"^dataset: {DATA_SOURCE}/tweets/(twitter|pipeline)/([a-z_]+)$", re.MULTILINE)
DUE_AFTER_NEW_TWEETS = """
select contract, checked_at from unnest(%(contracts)s::text[]) as known (contract)
cross join lateral (
    select greatest(
        (select max(checked_at) from pipeline.quality_results where contract = 'twitter.' || known.contract),
        (select max(checked_at) from pipeline.quality_results where contract = 'pipeline.' || known.contract)
    ) as checked_at
) newest
where coalesce(checked_at, '-infinity') < now() - make_interval(mins => %(minutes)s)
    and coalesce(checked_at, '-infinity') < (select max(updated_at) from pipeline.cursors where stage = 'transform')
order by contract
"""  # the query behind the doorbell of `data_quality`
OUTCOMES = {"PASSED": "passed", "FAILED": "failed", "WARN": "failed"}


class ContractUnusable(RuntimeError):
    """A contract could not be verified; the text says which and why. Nothing is known about its table.

    `contract` is schema.table, or None if not even that is known.
    """

    def __init__(self, message: str, contract: str | None = None) -> None:
        super().__init__(message)
        self.contract = contract


@dataclass(frozen=True)
class Checked:
    """One check of a contract (`schema.table`): passed, failed or not_evaluated, and what was measured."""

    contract: str
    check_name: str
    column_name: str | None
    outcome: str
    measured: float | None
    threshold: str | None

    @property
    def is_good(self) -> bool:
        return self.outcome == "passed"

    def __str__(self) -> str:
        where = f"{self.contract}.{self.column_name}" if self.column_name else self.contract
        found = "" if self.measured is None else f", measured {self.measured:g}"
        wanted = f" ({self.threshold})" if self.threshold else ""
        return f"{where}: {self.check_name} {self.outcome}{found}{wanted}"


def names(folder: Path) -> list[str]:
    """The names of the contracts in a folder, which are those of their tables."""
    return sorted(path.stem for path in folder.glob("*.yml"))


def by_schema(folder: Path, chosen: Sequence[str]) -> list[list[str]]:
    """Contracts grouped by schema, so that one import of Soda serves many. Raises ContractUnusable."""
    groups: dict[str, list[str]] = {}
    for name in chosen:
        groups.setdefault(_read(folder, name, "tweets")[0].partition(".")[0], []).append(name)
    return list(groups.values())


def verify(folder: Path, name: str, dsn: str) -> list[Checked]:
    """Run every check of one contract against the database at `dsn` (a role that may read). Raises ContractUnusable."""
    from soda_core.common.yaml import ContractYamlSource, DataSourceYamlSource
    from soda_core.contracts.contract_verification import ContractVerificationSession

    logging.getLogger("soda").setLevel(logging.ERROR)
    address = conninfo_to_dict(dsn)
    database = str(address.get("dbname"))
    contract, text = _read(folder, name, database)
    session = ContractVerificationSession.execute(
        contract_yaml_sources=[ContractYamlSource.from_str(text)],
        data_source_yaml_sources=[DataSourceYamlSource.from_str(yaml.safe_dump(_data_source(address)))],
    )
    (result,) = session.contract_verification_results
    if result.has_errors or not result.check_results:
        trouble = _without_secret(session.get_errors_str(), address)
        raise ContractUnusable(f"contract {contract}: {trouble}", contract)
    return [_checked(contract, each) for each in result.check_results]


def _read(folder: Path, name: str, database: str) -> tuple[str, str]:
    path = folder / f"{name}.yml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ContractUnusable(
            f"there is no contract {name!r} in {folder}; known are {', '.join(names(folder)) or 'none'}"
        ) from None
    dataset = _DATASET.search(text)
    if dataset is None or dataset[2] != name:
        raise ContractUnusable(f"{path}: its dataset must be {DATA_SOURCE}/tweets/<schema>/{name}")
    # contracts are written for a database `tweets`; this one may have another name
    text = text.replace(f"dataset: {DATA_SOURCE}/tweets/", f"dataset: {DATA_SOURCE}/{database}/", 1)
    return f"{dataset[1]}.{dataset[2]}", text


def _data_source(address: dict[str, Any]) -> dict[str, Any]:
    known = {
        "host": address.get("host", "localhost"),
        "port": int(address.get("port") or 5432),
        "database": address.get("dbname"),
        "user": address.get("user"),
        "password": address.get("password", ""),
    }
    tls = {name: address[name] for name in ("sslmode", "sslcert", "sslkey", "sslrootcert") if name in address}
    return {"type": "postgres", "name": DATA_SOURCE, "connection": known | tls}


def _checked(contract: str, result: Any) -> Checked:
    check = result.check
    values = [v for v in (result.diagnostic_metric_values or {}).values() if isinstance(v, int | float)]
    measured = result.threshold_value if isinstance(result.threshold_value, int | float) else None
    return Checked(
        contract=contract,
        check_name=check.name or check.type,
        column_name=check.column_name,
        outcome=OUTCOMES.get(result.outcome.value, "not_evaluated"),
        measured=float(measured) if measured is not None else (float(values[0]) if values else None),
        threshold=" ".join(str(check.threshold).split()) if check.threshold else None,
    )


def _without_secret(text: str, address: dict[str, Any]) -> str:
    password = address.get("password")
    return text.replace(str(password), "***")[:1000] if password else text[:1000]


def record(connection: psycopg.Connection, run_id: str, results: list[Checked]) -> None:
    """Store the results of one contract (role pipeline_loader); the Dag housekeeping removes old ones."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "insert into pipeline.quality_results"
            " (run_id, contract, check_name, column_name, outcome, measured, threshold)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [
                (run_id, r.contract, r.check_name, r.column_name, r.outcome, r.measured, r.threshold)
                for r in results
            ],
        )


def due(connection: psycopg.Connection, folder: Path, minutes: int) -> list[str]:
    """The contracts in a folder that were not verified within the last `minutes`. Never writes."""
    recent = connection.execute(
        "select distinct contract from pipeline.quality_results where checked_at > now() - make_interval(mins => %s)",
        (minutes,),
    ).fetchall()
    verified = {contract.rpartition(".")[2] for (contract,) in recent}
    return [name for name in names(folder) if name not in verified]
