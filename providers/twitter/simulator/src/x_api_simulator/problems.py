"""X's refusals: problem documents (RFC 7807) and the partial errors inside a 200.

Types follow the `Problem` schemas of OpenAPI 2.166 (host api.twitter.com) and 2.167 (host api.x.com). about:blank
for 401 and 429 is in 2.166 only; 2.167 documents no type for them, so both vocabularies get about:blank here.
Titles that do not fit their type ("Forbidden" for a suspended account under resource-not-found) are taken from real
answers (x-api-v2.md §4).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

Error = dict[str, Any]
HOSTS = {"tweet": "https://api.twitter.com", "post": "https://api.x.com"}


@dataclass(slots=True)
class Refused(Exception):
    """The request is answered with this status and body instead of data."""

    status: int
    body: Error = field(default_factory=dict)


def problem_type(vocabulary: str, name: str) -> str:
    return f"{HOSTS[vocabulary]}/2/problems/{name}"


def invalid_request(vocabulary: str, faults: list[tuple[str, str, str]]) -> Refused:
    """400 with one error per (parameter, value, message); shape as in recordings/sns-sdks…/streams/delete_error.json."""
    return Refused(
        400,
        {
            "errors": [
                {"parameters": {name: [value]}, "message": message} for name, value, message in faults
            ],
            "title": "Invalid Request",
            "detail": "One or more parameters to your request was invalid.",
            "type": problem_type(vocabulary, "invalid-request"),
        },
    )


def unauthorized() -> Refused:
    return Refused(
        401, {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}
    )


KINDS = {
    "UserToken": "OAuth 1.0a User Context",
    "OAuth2UserToken": "OAuth 2.0 User Context",
    "BearerToken": "OAuth 2.0 Application-Only",
}
"""What X calls the schemes of OpenAPI `security`."""


def unsupported_authentication(vocabulary: str, kind: str, taken: Collection[str] = KINDS) -> Refused:
    """`kind` and `taken` are names from OpenAPI `security`, or a scheme that X does not have at all."""
    names = ", ".join(name for each, name in KINDS.items() if each in taken)
    return Refused(
        403,
        {
            "title": "Unsupported Authentication",
            "detail": f"Authenticating with {KINDS.get(kind, kind)} is forbidden for this endpoint. Supported "
            f"authentication types are [{names}].",
            "type": problem_type(vocabulary, "unsupported-authentication"),
            "status": 403,
        },
    )


def client_forbidden(vocabulary: str) -> Refused:
    """The app has no package or environment that may call this (x-api-v2.md §1, client-not-enrolled)."""
    return Refused(
        403,
        {
            "title": "Client Forbidden",
            "detail": "When authenticating requests to the X API v2 endpoints, you must use keys and tokens from "
            "a developer App that is attached to a Project.",
            "reason": "client-not-enrolled",
            "registration_url": "https://developer.x.com/en/docs/projects/overview",
            "type": problem_type(vocabulary, "client-forbidden"),
            "status": 403,
        },
    )


def too_many_requests() -> Refused:
    body = {"title": "Too Many Requests", "detail": "Too Many Requests", "type": "about:blank", "status": 429}
    return Refused(429, body)


def no_such_page() -> Refused:
    return Refused(404, {"title": "Not Found", "detail": "Not Found", "type": "about:blank", "status": 404})


def missing(vocabulary: str, resource: str, parameter: str, value: str, section: str, state: str) -> Error:
    """A partial error: `resource` (user or tweet) is not returned. The `state` of its account decides the wording."""
    what = f"Could not find {resource} with {parameter}: [{value}]."
    title, kind = "Not Found Error", "resource-not-found"
    if state == "suspended":
        title, what = "Forbidden", f"User has been suspended: [{value}]."
    elif state == "protected":
        title, kind = "Authorization Error", "not-authorized-for-resource"
        what = f"Sorry, you are not authorized to see the {resource} with {parameter}: [{value}]."
    error = {
        "value": value,
        "detail": what,
        "title": title,
        "resource_type": resource,
        "parameter": parameter,
        "resource_id": value,
        "type": problem_type(vocabulary, kind),
    }
    if kind == "not-authorized-for-resource" or section == "includes":
        error["section"] = section
    return error


def private_field(vocabulary: str, field_name: str, tweet_id: str) -> Error:
    """Private metrics need the user's own token (x-api-v2.md §3)."""
    return {
        "resource_id": tweet_id,
        "parameter": "id",
        "value": tweet_id,
        "field": field_name,
        "resource_type": "tweet",
        "section": "data",
        "title": "Field Authorization Error",
        "detail": f"You are not authorized to access '{field_name}' on the Tweet with id: [{tweet_id}].",
        "type": problem_type(vocabulary, "not-authorized-for-field"),
    }
