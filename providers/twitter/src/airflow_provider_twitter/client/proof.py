"""What makes an answer count. Absence is not a statement: an answer without the following has failed.

    search, timelines   a `meta` object; `next_token` absent or printable text; if there is neither data nor a token,
                        a `result_count`, of which only 0 means the end
    lookups             at least one object, or a known fact about at least one requested id or name
    counts              `meta.total_tweet_count`
    usage               a `data` object

Known facts are partial errors whose type concerns the resource itself, such as not found, suspended or not authorised.
Errors of other types mean that X could not tell; they are no verdict about anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_twitter.client.endpoints import Endpoint
from airflow_provider_twitter.client.pages import Body
from tweet_envelope.pages import Item

State = Literal["gone", "suspended", "protected", "disallowed"]

STATE_OF_TYPE: dict[str, State] = {
    "resource-not-found": "gone",
    "not-authorized-for-resource": "protected",
    "disallowed-resource": "disallowed",
}


@dataclass(frozen=True, slots=True)
class ResourceFact:
    """What X says about a resource that it does not return; `reason` is X's own words, at most 300 characters."""

    state: State
    reason: str


def facts_in(errors: Iterable[Item]) -> dict[str, ResourceFact]:
    """The known facts among partial errors, by the id or lower-case name that they concern."""
    facts: dict[str, ResourceFact] = {}
    for error in errors:
        said = error.value or {}
        kind = said.get("type")
        state = STATE_OF_TYPE.get(kind.rsplit("/", 1)[-1]) if isinstance(kind, str) else None
        if state is None:
            continue
        words = [str(said[name]) for name in ("title", "detail") if isinstance(said.get(name), str)]
        reason = ": ".join(words)[:300]
        # X reports suspended users with the type for missing ones; only its words tell them apart
        if state == "gone" and (said.get("title") == "Forbidden" or "suspended" in reason.lower()):
            state = "suspended"
        for name in ("resource_id", "value"):
            if isinstance(key := said.get(name), str | int) and not isinstance(key, bool):
                facts.setdefault(str(key).lower(), ResourceFact(state, reason))
    return facts


def asked_for(endpoint: Endpoint, params: Mapping[str, str]) -> list[str]:
    """The ids or names that a request asks for, in lower case; empty for a search."""
    if endpoint.lists is not None:
        return [each.lower() for each in params.get(endpoint.lists, "").split(",") if each]
    return [params[name].lower() for name in endpoint.path_params]


def stated_count(meta: Mapping[str, Any] | None) -> int | None:
    """`meta.result_count` as a number; None if it is absent or not a number."""
    stated = (meta or {}).get("result_count")
    if isinstance(stated, str) and stated.isascii() and stated.isdigit() and len(stated) < 10:
        return int(stated)
    if isinstance(stated, bool) or not isinstance(stated, int | float) or stated != stated // 1:
        return None
    return int(stated) if 0 <= stated < 10**9 else None


def why_unproven(endpoint: Endpoint, params: Mapping[str, str], body: Body) -> str | None:
    """Why this answer does not count, or None when it does."""
    if body.odd_data is not None:
        return f"`data` is {body.odd_data}"
    if endpoint.page_size is not None:
        return _why_no_page(asked_for(endpoint, params), body)
    if endpoint.lists is not None:
        facts = facts_in(body.errors)
        if body.data or any(each in facts for each in asked_for(endpoint, params)):
            return None
        return "it holds nothing that was requested, and no known fact about it" + _said(body)
    if endpoint.answer == "counts":
        total = (body.meta or {}).get("total_tweet_count")
        is_total = isinstance(total, int) and not isinstance(total, bool)
        return None if is_total else "it has no total" + _said(body)
    return None if body.data else "it has no data" + _said(body)


def _why_no_page(resources: list[str], body: Body) -> str | None:
    if body.meta is None:
        return None if _is_state_of(resources, body) else "it has no `meta` object" + _said(body)
    token = body.meta.get("next_token")
    if token is not None and not (isinstance(token, str) and token and token.isprintable()):
        return "its next_token is not printable text"
    says_nothing = not body.data and token is None and stated_count(body.meta) is None
    if says_nothing and not _is_state_of(resources, body):
        return "it has neither data nor a result_count" + _said(body)
    return None


def _is_state_of(resources: list[str], body: Body) -> bool:
    """Whether the answer consists only of known facts about the requested resource."""
    if body.data or not body.errors or not resources:
        return False
    return all(facts_in([error]).keys() & set(resources) for error in body.errors)


def _said(body: Body) -> str:
    """X's own words in an answer that proves nothing, shortened."""
    words = [
        str(said.get("message") or said.get("detail") or said.get("title") or said.get("code") or "")
        for said in (error.value or {} for error in body.errors)
    ]
    words += [body.problem] if body.problem else []
    text = "; ".join(dict.fromkeys(word for word in words if word))[:300]
    return f": {text}" if text else ""
