"""A request to X, built from its endpoint's row and checked against it before anything is priced or sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from airflow_provider_twitter.client.endpoints import Endpoint
from airflow_provider_twitter.client.fields import Requested

Value = str | int | bool | datetime | Sequence[str | int] | None
"""What a parameter may hold: times are aware (naive ones count as UTC), sequences become comma-separated lists."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes over the wire. `path` and `query` hold its parameters as text; `body` is JSON.

    `requested` is the selection of fields for the answer's tweets, or None if the answer holds no tweets.
    """

    endpoint: Endpoint
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    requested: Requested | None = None
    body: bytes | None = None

    @classmethod
    def of(
        cls, endpoint: Endpoint, params: Mapping[str, Value], *, requested: Requested, body: object = None
    ) -> Request:
        """Build the request for these parameters; None and empty sequences are left out.

        Raises ValueError, naming the parameter, if the endpoint does not take it or a required one is missing.
        """
        given = {name: text for name, value in params.items() if (text := _text(value)) is not None}
        known = {*endpoint.path_params, *endpoint.query_params}
        for name in given:
            if name not in known:
                raise ValueError(
                    f"{endpoint} takes no parameter {name!r}; it takes {', '.join(sorted(known)) or 'none'}"
                )
        for name in (*endpoint.path_params, *([endpoint.lists] if endpoint.lists else [])):
            if not given.get(name):
                raise ValueError(f"{endpoint} needs the parameter {name!r}")
        if body is not None and endpoint.method == "GET":
            raise ValueError(f"{endpoint} takes no body")
        path = {name: given.pop(name) for name in endpoint.path_params}
        for name, text in path.items():
            if not re.fullmatch(r"\w+", text, re.ASCII):
                raise ValueError(f"{endpoint} cannot be asked for {name} {text!r}: no id of X")
        of_tweets = endpoint.answer == "tweets"
        # users are requested without their pinned tweets, which would be billed as further reads
        selected = endpoint.fields if of_tweets else {"user.fields"}.intersection(endpoint.fields)
        return cls(
            endpoint,
            path,
            given | requested.params(selected),
            requested if of_tweets else None,
            None if body is None else msgspec.json.encode(body),
        )

    @property
    def route(self) -> str:
        """The path with its ids filled in."""
        parts = self.endpoint.path.split("/")
        return "/".join(self.path[part[1:]] if part.startswith(":") else part for part in parts)

    @property
    def params(self) -> dict[str, str]:
        """All parameters as text, including those of the path, as ledgers and pages keep them."""
        return {**self.path, **self.query}

    def with_page_of(self, max_results: int) -> Request:
        """The same request for a page of this size."""
        return replace(self, query={**self.query, "max_results": str(max_results)})


def _text(value: Value) -> str | None:
    """A value as X expects it: RFC 3339 in whole UTC seconds, comma-separated lists; None for what is left out."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        case str() | int():
            return str(value)
        case _:
            return ",".join(map(str, value)) or None
