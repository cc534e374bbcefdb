"""Whose fault a failed load is: the record's, the server's, or not known; decided by SQLSTATE class.

A record's fault costs the record. A fault of the server, the schema or the connection costs nothing: it is raised
and tried again, since a dead letter for each tweet of an outage would be a loss that looks like an answer. What is in
neither list is narrowed down like a record's fault, but counts as one only when a neighbour of its batch loads.
"""

from enum import Enum

import psycopg
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError

from tweet_envelope.topic import KafkaUnavailable
from twitter_pipeline.landing.lost import RawStoreLost
from twitter_pipeline.streaming.bad_record_breaker import TooManyBadRecords
from twitter_pipeline.streaming.cursors import Fenced

OF_A_RECORD = {"21", "22", "23", "54"}  # cardinality, data, integrity, a limit of the program (an index row)
# connection, transaction state and authorisation, catalogue, rollback, access rule or schema, resources, object
# state, operator intervention, system, internal
OF_THE_SERVER = {"08", "25", "26", "28", "3D", "40", "42", "53", "55", "57", "58", "XX"}
STATEMENT_TIMEOUT = "57014"
NOT_OF_A_RECORD = (
    Fenced, TooManyBadRecords, RawStoreLost, KafkaUnavailable, PyMongoError, KafkaException, MemoryError, OSError,
)  # fmt: skip


class Fault(Enum):
    """What a failed load says about the records in it."""

    RECORD = "a record is refused: narrow it down, it is a dead letter"
    UNKNOWN = "narrow it down; a dead letter only when a neighbour loads"
    TOO_SLOW = "a statement timeout: halve the batch, and never a dead letter"
    SERVER = "not about a record: raise it, and try again"


def fault_of(error: BaseException) -> Fault:
    """Whose fault an error of loading is."""
    if not isinstance(error, Exception) or isinstance(error, NOT_OF_A_RECORD):
        return Fault.SERVER
    if not isinstance(error, psycopg.Error):
        return Fault.UNKNOWN
    if error.sqlstate is None:  # the client's own: a value that it cannot send, or a connection that is gone
        if isinstance(error, psycopg.DataError):
            return Fault.RECORD
        return Fault.SERVER if isinstance(error, psycopg.OperationalError) else Fault.UNKNOWN
    if error.sqlstate == STATEMENT_TIMEOUT:
        return Fault.TOO_SLOW
    if error.sqlstate[:2] in OF_A_RECORD:
        return Fault.RECORD
    return Fault.SERVER if error.sqlstate[:2] in OF_THE_SERVER else Fault.UNKNOWN
