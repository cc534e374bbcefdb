"""What a failed load is caused by: the record, the server, or unknown; decided by SQLSTATE class.

A bad record becomes a dead letter. An error of the server, the schema or the connection is raised and retried: a dead
letter for each tweet during an outage would be data loss that looks handled. An error in neither list is narrowed down
like a bad record, but counts as one only if another document of the batch loads.
"""

from enum import Enum

import psycopg
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from tweet_envelope.topic import KafkaUnavailable
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.streaming.bad_record_breaker import TooManyBadRecords
from twitter_pipeline.streaming.cursors import Fenced

OF_A_RECORD = {"21", "22", "23", "54"}  # cardinality, data, integrity, program limits (such as an index row)
# connection, transaction state and authorisation, catalogue, rollback, access rule or schema, resources, object
# state, operator intervention, system, internal
OF_THE_SERVER = {"08", "25", "26", "28", "3D", "40", "42", "53", "55", "57", "58", "XX"}
STATEMENT_TIMEOUT = "57014"
NOT_OF_A_RECORD = (
    Fenced, TooManyBadRecords, RawStoreLost, KafkaUnavailable, PyMongoError, KafkaException, MemoryError, OSError,
)  # fmt: skip


class Fault(Enum):
    """What a failed load says about the records in it."""

    RECORD = "a record is rejected: narrow it down, it becomes a dead letter"
    UNKNOWN = "narrow it down; a dead letter only if another document of the batch loads"
    TOO_SLOW = "a statement timeout: halve the batch, never a dead letter"
    SERVER = "not caused by a record: raise it and retry"


def fault_of(error: BaseException) -> Fault:
    """Classify an error raised while loading."""
    if not isinstance(error, Exception) or isinstance(error, NOT_OF_A_RECORD):
        return Fault.SERVER
    if not isinstance(error, psycopg.Error):
        return Fault.UNKNOWN
    if error.sqlstate is None:  # raised by the client: a value it cannot send, or a lost connection
        if isinstance(error, psycopg.DataError):
            return Fault.RECORD
        return Fault.SERVER if isinstance(error, psycopg.OperationalError) else Fault.UNKNOWN
    if error.sqlstate == STATEMENT_TIMEOUT:
        return Fault.TOO_SLOW
    if error.sqlstate[:2] in OF_A_RECORD:
        return Fault.RECORD
    return Fault.SERVER if error.sqlstate[:2] in OF_THE_SERVER else Fault.UNKNOWN
