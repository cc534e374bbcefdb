"""From an Airflow connection of type "twitter" to a client of the X API.

host       base URL, https://api.x.com when empty
password   the app's bearer token
extra      allow_local      allow plain http, loopback and private addresses (a simulator or other emulator)
           vocabulary       "tweet" (default) or "post": use tweet.fields or post.fields
           total_seconds    time limit for one request
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from airflow.sdk import BaseHook, Connection

from airflow_provider_twitter.client import Backoff, Limits, Requested, XClient, XError
from airflow_provider_twitter.client.address import DEFAULT_BASE_URL
from airflow_provider_twitter.client.fields import Vocabulary
from airflow_provider_twitter.client.masking import Masked

NOT_FOUND = 404
PATIENCE = timedelta(minutes=1)  # a worker slot is not held for longer than this when X asks for a wait


class ConnectionExtra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a connection's extra may contain; null means the default."""

    allow_local: bool | None = None
    vocabulary: Vocabulary | None = None
    total_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TwitterConnection:
    """A validated connection. Never shows the token."""

    base_url: str
    bearer_token: str = field(repr=False)
    allow_local: bool
    vocabulary: Vocabulary
    total_seconds: float

    @classmethod
    def of(cls, connection: Connection) -> TwitterConnection:
        """Read an Airflow connection. Raises ValueError, which names what is wrong with it."""
        where = f"connection {connection.conn_id!r}"
        try:
            extra = msgspec.convert(connection.extra_dejson, ConnectionExtra, strict=False)
        except msgspec.ValidationError as wrong:
            raise ValueError(f"the extra of {where} is invalid: {wrong}") from wrong
        total_seconds = Limits().total_seconds if extra.total_seconds is None else extra.total_seconds
        if not 0 < total_seconds <= 600:
            raise ValueError(f"total_seconds in the extra of {where} must be above 0 and at most 600")
        if not connection.password:
            raise ValueError(f"{where} has no bearer token: enter it in the password field")
        return cls(
            base_url=_base_url(connection),
            bearer_token=Masked(connection.password),
            allow_local=bool(extra.allow_local),
            vocabulary=extra.vocabulary or "tweet",
            total_seconds=total_seconds,
        )


class TwitterHook(BaseHook):
    """Creates X API clients from a connection; reads it each time, so a rotated token is picked up.

    :param twitter_conn_id: id of a connection of type "twitter"
    """

    conn_name_attr = "twitter_conn_id"
    default_conn_name = "twitter_default"
    conn_type = "twitter"
    hook_name = "X (Twitter)"

    def __init__(self, twitter_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.twitter_conn_id = twitter_conn_id

    def read_connection(self) -> TwitterConnection:
        """The current connection."""
        return TwitterConnection.of(self.get_connection(self.twitter_conn_id))

    def get_conn(self) -> XClient:
        """A client, which the caller closes: `with hook.get_conn() as x`. Sends nothing yet."""
        return self._client(backoff=Backoff(patience_seconds=PATIENCE.total_seconds()))

    def _client(self, **options: Any) -> XClient:
        connection = self.read_connection()
        return XClient(
            connection.bearer_token,
            base_url=connection.base_url,
            allow_local=connection.allow_local,
            requested=Requested.everything_public(connection.vocabulary),
            limits=Limits(total_seconds=connection.total_seconds),
            **options,
        )

    def test_connection(self) -> tuple[bool, str]:
        """Request the project's usage once; this only reads and costs nothing."""
        try:
            with self._client(backoff=Backoff(tries=1)) as client:
                usage = client.usage(days=1)
        except XError as failed:
            if failed.status == NOT_FOUND:
                return True, "The server responds but has no usage endpoint, so the token was not checked."
            return False, str(failed)
        except ValueError as failed:
            return False, str(failed)
        facts = usage.data[0].value if usage.data else None
        used, cap = (facts or {}).get("project_usage"), (facts or {}).get("project_cap")
        if used is None or cap is None:
            return True, "X accepts the token."
        return True, f"X accepts the token: {used} of {cap} posts read in this cycle."


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    if "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'https'}://{host}{port}"
