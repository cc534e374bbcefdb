"""The state of the pipeline: per stage its count, lag, freshness and last error.

Read from the stores, never from counters, and never writes. If a store does not answer, its stages say so instead of
failing the whole report.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from twitter_pipeline import stages
from twitter_pipeline.collection.budget import spent_this_month
from twitter_pipeline.collection.circuits import open_circuits
from twitter_pipeline.metrics.catalogue import STAGES
from twitter_pipeline.settings import Stores

EXTRACT = """
select coalesce(sum(cardinality(tweet_ids)), 0), max(observed_at) from pipeline.pages
"""
OVERDUE = """
select count(*) from pipeline.rules where is_enabled and parked_at is null and next_due_at < now() - interval_seconds * interval '1 second'
    and (leased_until is null or leased_until < now())
"""
RULE_ERROR = """
select string_agg(told, '; ' order by rank, at desc) from (
    select 1 as rank, noticed_at as at, subject || ': ' || left(notice, 300) as told from pipeline.notices
    union all
    (select 2, parked_at, 'rule ' || name || ' is parked: ' || left(parked_reason, 200) from pipeline.rules
        where parked_at is not null and is_enabled order by parked_at desc limit 3)
    union all
    (select 3, last_error_at, name || ': ' || last_error from pipeline.rules
        where last_error is not null and is_enabled and parked_at is null order by last_error_at desc limit 1)
) trouble
"""
ACCOUNTS = """
select username, user_id, state, state_since, coalesce(state_reason, last_failure), array_agg(rules.name order by rules.name)
from pipeline.accounts join pipeline.rules on spec -> 'accounts' ? username and is_enabled
where state is not null or last_failure is not null
group by username order by state_since desc nulls last, username limit 100
"""
LANDING = """
select coalesce(sum(next_offset - start_offset), 0), max(updated_at) from pipeline.cursors where stage = 'land'
"""
TRANSFORM = """
select coalesce(sum(transform.next_offset - transform.start_offset), 0),
    coalesce(sum(landing.next_offset - transform.next_offset), 0)
from pipeline.cursors transform join pipeline.cursors landing using (topic_id, partition)
where transform.stage = 'transform' and landing.stage = 'land'
"""
WAREHOUSE = """
select count(*) filter (where is_collected
        and not exists (select from pipeline.tombstones removed where removed.tweet_id = tweets.id)),
    max(loaded_at)
from twitter.tweets
"""
NEWEST_DEAD_LETTER = """
select reason || ': ' || detail from pipeline.dead_letters where resolved_at is null order by failed_at desc limit 1
"""
TROUBLE = """
select (select count(*) from pipeline.dead_letters where resolved_at is null),
    (select count(*) from pipeline.gaps where settled_at is null),
    (select count(*) from pipeline.pages where state = 'lost')
"""
FAILING = """
select stage, topic, topic_id, partition, failed_at, last_error from pipeline.cursors
where last_error is not null order by failed_at desc
"""
ACCOUNTING = """
select (select coalesce(sum(unaccounted_count), 0)::bigint from pipeline.accounted),
    (select coalesce(sum(to_offset - from_offset), 0)::bigint from pipeline.gaps
        where kind = 'offsets' and reason = 'missing in raw' and settled_at is null),
    (select count(*) from pipeline.empty_ranges)
"""
UNVERSIONED = "select pipeline.unversioned_tweets()"
NEWEST_OF_EACH_CONTRACT = """
select newest.contract, count(*) filter (where result.outcome <> 'passed'), newest.checked_at
from pg_tables
cross join lateral (
    select contract, checked_at from pipeline.quality_results
    where contract = schemaname || '.' || tablename
    order by checked_at desc limit 1
) newest
join pipeline.quality_results result on result.contract = newest.contract and result.checked_at = newest.checked_at
where schemaname in ('twitter', 'pipeline')
group by newest.contract, newest.checked_at
order by newest.contract
"""


@dataclass
class Stage:
    """One stage: records processed, records waiting, newest record (UTC), last error; None means unknown."""

    stage: str
    count: int | None = None
    lag: int | None = None
    newest: datetime | None = None
    last_error: str | None = None
    answers: bool = True


@dataclass(frozen=True)
class Contract:
    """The result of the newest run of one contract."""

    contract: str
    failed: int
    checked_at: datetime


@dataclass(frozen=True)
class FailingPartition:
    """One partition in which a stage is stopped, since when (UTC) and why."""

    stage: str
    topic: str
    topic_id: str
    partition: int
    failed_at: datetime | None
    error: str


@dataclass(frozen=True)
class AccountState:
    """An account of a rule that needs attention.

    `state`: renamed, taken over, protected, suspended, gone or disallowed, according to X, and `since` when we know it
    (UTC); None if the account could not be read for a reason that says nothing about it. `reason` is in X's own words.
    """

    username: str
    user_id: int | None
    state: str | None
    since: datetime | None
    reason: str | None
    rules: list[str]

    def as_json(self) -> dict[str, Any]:
        """All fields, with the id as text."""
        return asdict(self) | {"user_id": None if self.user_id is None else str(self.user_id)}


@dataclass
class Health:
    """The stages in the order that a tweet passes them, and figures of the whole; None means unknown.

    `unversioned_tweets` were loaded before content had versions, and not observed or rebuilt since.
    """

    stages: list[Stage]
    transform_dead_letters: int | None = None
    land_dead_letters: int | None = None
    gaps: int | None = None
    lost_pages: int | None = None
    spent_usd: Decimal | None = None
    open_circuits: int | None = None
    contracts: list[Contract] = field(default_factory=list)
    accounts: list[AccountState] = field(default_factory=list)
    failing: list[FailingPartition] | None = None
    unaccounted: int | None = None
    missing_in_raw: int | None = None
    empty_ranges: int | None = None
    unversioned_tweets: int | None = None


def look(stores: Stores, topic: str = "raw-tweets") -> Health:
    """Query every store, each for a few seconds at most."""
    extract, landing, transform, warehouse = map(Stage, STAGES)
    health = Health([extract, landing, transform, warehouse])
    try:
        with psycopg.connect(stores.postgres_reader_dsn, connect_timeout=5, autocommit=True) as connection:
            _ask_postgres(connection, health, extract, landing, transform, warehouse)
            landing.lag = _or_unavailable(landing, lambda: _unread(stores.kafka(), connection, topic))
    except psycopg.OperationalError as error:
        for stage in health.stages:
            stage.answers = False
            stage.last_error = f"PostgreSQL does not answer: {str(error).strip().splitlines()[0]}"
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        for stage in health.stages:
            stage.answers = False
            stage.last_error = f"PostgreSQL lacks a table or column (run `twitter-pipeline migrate`): {str(error).strip().splitlines()[0]}"
    health.land_dead_letters = _or_unavailable(landing, lambda: _ask_mongo(stores, extract, landing))
    return health


def _ask_postgres(
    connection: psycopg.Connection,
    health: Health,
    extract: Stage,
    landing: Stage,
    transform: Stage,
    warehouse: Stage,
) -> None:
    extract.count, extract.newest = _row(connection, EXTRACT)
    (extract.lag,) = _row(connection, OVERDUE)
    (extract.last_error,) = _row(connection, RULE_ERROR)
    landing.count, landing.newest = _row(connection, LANDING)
    transform.count, transform.lag = _row(connection, TRANSFORM)
    (transform.last_error,) = _row(connection, NEWEST_DEAD_LETTER)
    warehouse.count, warehouse.newest = _row(connection, WAREHOUSE)
    transform.newest = warehouse.newest
    warehouse.lag = transform.lag
    dead_letters, gaps, lost = _row(connection, TROUBLE)
    health.transform_dead_letters, health.gaps, health.lost_pages = dead_letters, gaps, lost
    health.spent_usd = spent_this_month(connection)
    stopped = open_circuits(connection)
    health.open_circuits = len(stopped)
    if stopped:
        extract.last_error = str(stopped[0])
    health.accounts = [AccountState(*row) for row in connection.execute(ACCOUNTS).fetchall()]
    health.contracts = [Contract(*row) for row in connection.execute(NEWEST_OF_EACH_CONTRACT).fetchall()]
    health.failing = [FailingPartition(*row) for row in connection.execute(FAILING).fetchall()]
    for stage in (landing, transform):
        failing = [partition for partition in health.failing if partition.stage == stage.stage]
        if failing:
            more = f" (and {len(failing) - 1} more partitions)" if len(failing) > 1 else ""
            stage.last_error = (
                f"partition {failing[0].partition} of {failing[0].topic}: {failing[0].error}{more}"
            )
    health.unaccounted, health.missing_in_raw, health.empty_ranges = _row(connection, ACCOUNTING)
    (health.unversioned_tweets,) = _row(connection, UNVERSIONED)
    trouble = {
        "dead letters": dead_letters,
        "gaps": gaps,
        "lost pages": lost,
        "unaccounted offsets": health.unaccounted,
    }
    if any(trouble.values()):
        told = ", ".join(f"{count} {what}" for what, count in trouble.items() if count)
        warehouse.last_error = f"{told}: see schema pipeline"


def _row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        return (None,)
    return tuple(int(v) if isinstance(v, int) or hasattr(v, "as_tuple") else v for v in row)


def _unread(kafka: dict[str, Any], connection: psycopg.Connection, topic: str) -> int:
    rows = connection.execute(
        "select distinct on (partition) partition, next_offset from pipeline.cursors"
        " where stage = 'land' and topic = %s order by partition, updated_at desc",
        (topic,),
    ).fetchall()
    consumer = Consumer({**kafka, "group.id": "health", "log_level": 0})
    try:
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=3)[1] for p, _ in rows}
    finally:
        consumer.close()
    return sum(max(ends[partition] - next_offset, 0) for partition, next_offset in rows)


def _ask_mongo(stores: Stores, extract: Stage, landing: Stage) -> int:
    """Report open dead letters: landing's under landing; extract's and imports' under extract, after a rule's error.

    Returns how many messages could not be landed.
    """
    with MongoClient[dict[str, Any]](stores.mongo_uri, serverSelectionTimeoutMS=3000) as client:
        letters = client[stores.mongo_database].dead_letters
        unlandable, newest = _letters(letters, stages.LAND.name)
        landing.last_error = landing.last_error or newest
        for stage in (stages.EXTRACT.name, "import"):
            extract.last_error = extract.last_error or _letters(letters, stage)[1]
    return unlandable


def _letters(letters: Collection[dict[str, Any]], stage: str) -> tuple[int, str | None]:
    newest = letters.find_one({"stage": stage, "resolved_at": None}, {"payload": 0}, sort=[("failed_at", -1)])
    if newest is None:
        return 0, None
    count = letters.count_documents({"stage": stage, "resolved_at": None})
    return (
        count,
        f"{count} dead letters of stage {stage}, the newest: {newest['reason']}: {newest['detail']}",
    )


def _or_unavailable(stage: Stage, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except KafkaException as error:
        stage.answers = False
        stage.last_error = f"the broker does not answer: {error.args[0].str()}"
    except PyMongoError as error:
        stage.answers = False
        stage.last_error = f"MongoDB does not answer: {str(error)[:200]}"
    return None
