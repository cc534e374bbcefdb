"""The simulator's answers against X's own OpenAPI documents, 2.166 (tweet) and 2.167 (post).

Walks endpoints, fields and expansions. Beside JSON Schema validation, no answer may hold a property that the
document does not know, and the parameters of each endpoint must be those of the document.

Where the documents contradict themselves or real recordings, the contradiction is named here:

- 2.166 lists fields in *FieldsParameter enums that its schemas do not declare (card_uri, media.variants of photos,
  user.parody, …); those are allowed when the enum has them.
- 2.166 allows reply_settings "mentionedUsers" by its enum and forbids it by its pattern; it is never given.
- 2.166 declares usage counts as integers; recordings/sns-sdks-python-twitter/apis/usage and 2.167 have strings.
- 2.167 documents no problem type for 401, 403 and 429; about:blank of 2.166 stands.
- 2.167 declares edit_history_post_ids, which can be expanded but not asked for as a field.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from support.simulators import serve
from x_api_simulator.clock import Clock, parse_moment
from x_api_simulator.endpoints import ENDPOINTS
from x_api_simulator.world import World

FILES = {"tweet": "openapi_2.166_2026-08-06.json", "post": "openapi_2.167_2026-08-22.json"}
NOW_MS = parse_moment("2026-09-01T12:00:00Z")
FIELDS_OF = {
    "tweet.fields": "TweetFieldsParameter",
    "post.fields": "PostFieldsParameter",
    "user.fields": "UserFieldsParameter",
    "media.fields": "MediaFieldsParameter",
    "poll.fields": "PollFieldsParameter",
    "place.fields": "PlaceFieldsParameter",
    "usage.fields": "UsageFieldsParameter",
    "search_count.fields": "SearchCountFieldsParameter",
}


class Document:
    """One of X's documents, against which answers are checked."""

    def __init__(self, path: Path, vocabulary: str) -> None:
        self.vocabulary = vocabulary
        self.spec: dict[str, Any] = json.loads(path.read_text())
        self._validators: dict[str, Draft202012Validator] = {}
        parameters = self.spec["components"]["parameters"]
        self.enums: dict[str, list[str]] = {
            name: parameters[component]["schema"].get("items", {}).get("enum", [])
            for name, component in FIELDS_OF.items()
            if component in parameters
        }
        of_tweets = "TweetExpansionsParameter" if vocabulary == "tweet" else "PostExpansionsParameter"
        self.tweet_expansions: list[str] = parameters[of_tweets]["schema"]["items"]["enum"]
        self.user_expansions: list[str] = parameters["UserExpansionsParameter"]["schema"]["items"]["enum"]
        self._in_enums = {name for names in self.enums.values() for name in names}

    def operation(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.spec["paths"][path]["get"]
        return found

    def parameters(self, path: str) -> dict[str, dict[str, Any]]:
        given = [self._resolved(one) for one in self.operation(path)["parameters"]]
        return {one["name"]: one for one in given}

    def judge(self, path: str, status: int, answer: Any) -> None:
        """AssertionError with the first complaints when the document does not allow this answer."""
        if status == 200:
            schema = self.operation(path)["responses"]["200"]["content"]["application/json"]["schema"]
        else:
            content = self.operation(path)["responses"]["default"]["content"]
            schema = content["application/problem+json"]["schema"]
        complaints = [
            f"{error.json_path}: {error.message[:200]}"
            for error in self._validator(schema).iter_errors(answer)
        ]
        complaints += self._unknown(answer, schema, "$")
        complaints += [
            text for error in answer.get("errors", []) if "type" in error for text in self._problem(error)
        ]
        assert not complaints, (path, complaints[:5])

    def _problem(self, error: dict[str, Any]) -> Iterator[str]:
        """The schema that the discriminator names for this type."""
        mapping = self.spec["components"]["schemas"]["Problem"]["discriminator"]["mapping"]
        if error["type"] not in mapping:
            yield f"no problem type {error['type']}"
            return
        for complaint in self._validator({"$ref": mapping[error["type"]]}).iter_errors(error):
            yield f"{error['type']}: {complaint.message}"

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**schema, "components": self.spec["components"]})
        return self._validators[key]

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            target: Any = self.spec
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        return schema

    def _properties(self, schema: dict[str, Any], value: Any) -> dict[str, Any]:
        schema = self._resolved(schema)
        found = dict(schema.get("properties", {}))
        for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
            found |= self._properties(part, value)
        mapping = schema.get("discriminator", {}).get("mapping", {})
        kind = mapping.get(value.get(schema.get("discriminator", {}).get("propertyName"), ""), "")
        if kind:
            special = self._resolved({"$ref": kind})
            parts = special.get("allOf", [special])
            for part in parts:
                if "$ref" not in part:
                    found |= part.get("properties", {})
        return found

    def _unknown(self, value: Any, schema: dict[str, Any], where: str) -> list[str]:
        schema = self._resolved(schema)
        if isinstance(value, list):
            items = schema.get("items", {})
            return [
                text for n, one in enumerate(value) for text in self._unknown(one, items, f"{where}[{n}]")
            ]
        if not isinstance(value, dict):
            return []
        known = self._properties(schema, value)
        if not known:
            return []
        texts = []
        for name, part in value.items():
            if name in known:
                texts += self._unknown(part, known[name], f"{where}.{name}")
            elif name not in self._in_enums and name not in self._tolerated:
                texts.append(f"{where}.{name} is no property of the document")
        return texts

    _tolerated = frozenset(
        ["resource_id", "parameter", "value", "field", "section", "resource_type", "errors", "media_count"]
    )
    """Undeclared in 2.166: parts of problems that it has for some types only, and a user's media_count, which
    recordings/xdevplatform-docs-activity-events/post.create.json has."""


@pytest.fixture(scope="module", params=["tweet", "post"])
def document(request: pytest.FixtureRequest, openapi: Path) -> Document:
    return Document(openapi / FILES[request.param], request.param)


@pytest.fixture(scope="module")
def world() -> World:
    grown = World(7, NOW_MS - 3_600_000, 1.0, Clock(frozen_at_ms=NOW_MS))
    grown.now_ms()
    return grown


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with serve(world) as served:
        for endpoint in ENDPOINTS:
            served.control("limits", {"endpoint": endpoint.name, "limit": 1_000_000})
        yield served.http


@pytest.fixture(scope="module")
def asked(world: World) -> dict[str, tuple[str, dict[str, str]]]:
    """For each path in the document, an address and its required parameters."""
    users, now_ms = world.most_active, world.now_ms()
    special = [
        next(t.id for t in reversed(world.tweets.values()) if holds(t) and t.found_at(now_ms))
        for holds in (
            lambda t: t.poll_id,
            lambda t: t.place >= 0 and t.point,
            lambda t: t.note,
            lambda t: t.withheld,
            lambda t: len(t.versions) > 1,
            lambda t: t.original is not None and t.media,
            lambda t: any(key.startswith("13_") for key in t.media),
            lambda t: any(key.startswith("16_") for key in t.media),
            lambda t: any(ref[1] not in world.tweets for ref in t.refs),
            lambda t: t.reply_to is not None and t.reply_to.state == "suspended",
        )
    ]
    gone = next(t.id for t in world.tweets.values() if t.gone_ms() < now_ms)
    ids = ",".join(map(str, [*special, gone, *world.ghosts]))[:1_400].rpartition(",")[0]
    spoken_of = [user.username for user in world.users.values() if user.state != "active"][:6]
    names = ",".join([user.username for user in users[:25]] + spoken_of)
    return {
        "/2/tweets/search/recent": (
            "/2/tweets/search/recent",
            {"query": "the OR コーヒー OR RT", "max_results": "20"},
        ),
        "/2/users/{id}/tweets": (f"/2/users/{users[0].id}/tweets", {"max_results": "10"}),
        "/2/users/by": ("/2/users/by", {"usernames": names}),
        "/2/users": ("/2/users", {"ids": ",".join(str(user.id) for user in users[:10]) + ",1"}),
        "/2/tweets": ("/2/tweets", {"ids": ids}),
        "/2/tweets/counts/recent": ("/2/tweets/counts/recent", {"query": "coffee"}),
        "/2/usage/tweets": ("/2/usage/tweets", {}),
    }


TWEET_PATHS = ("/2/tweets/search/recent", "/2/users/{id}/tweets", "/2/tweets")
USER_PATHS = ("/2/users/by", "/2/users")


def _speak(document: Document, params: dict[str, str]) -> dict[str, str]:
    """Make the request speak the document's vocabulary."""
    name = f"{document.vocabulary}.fields"
    return params if name in params else {**params, name: "id,text"}


@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS])
def test_parameters_are_those_of_the_document(document: Document, path: str) -> None:
    """Each endpoint accepts exactly the query parameters that the document lists for it."""
    endpoint = next(endpoint for endpoint in ENDPOINTS if endpoint.path == path)
    listed = {name for name, one in document.parameters(path).items() if one["in"] == "query"}
    other = "post.fields" if document.vocabulary == "tweet" else "tweet.fields"
    assert endpoint.params - {other} == listed


@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS])
def test_credentials_are_those_of_the_document(document: Document, path: str) -> None:
    """Each endpoint accepts the schemes that the newer document lists; the older one lists no others."""
    endpoint = next(endpoint for endpoint in ENDPOINTS if endpoint.path == path)
    listed = {scheme for each in document.operation(path)["security"] for scheme in each}
    assert listed <= endpoint.auth
    if document.vocabulary == "post":
        assert listed == endpoint.auth


@pytest.mark.parametrize("path", TWEET_PATHS)
def test_every_field_and_expansion_alone(
    document: Document, client: httpx.Client, asked: dict[str, tuple[str, dict[str, str]]], path: str
) -> None:
    """Requested one at a time, each field and each expansion gives a valid answer."""
    address, base = asked[path]
    own = f"{document.vocabulary}.fields"
    everything = ",".join(document.tweet_expansions)
    walks = [{own: field} for field in document.enums[own]]
    walks += [{"expansions": expansion} for expansion in document.tweet_expansions]
    for name in ("user.fields", "media.fields", "poll.fields", "place.fields"):
        walks += [{"expansions": everything, name: field} for field in document.enums[name][::2]]
    for params in walks:
        answer = client.get(address, params=_speak(document, base | params))
        assert answer.status_code == 200, answer.text
        document.judge(path, 200, answer.json())


@pytest.mark.parametrize("path", USER_PATHS)
def test_every_user_field_and_expansion_alone(
    document: Document, client: httpx.Client, asked: dict[str, tuple[str, dict[str, str]]], path: str
) -> None:
    """The same for users."""
    address, base = asked[path]
    walks = [{"user.fields": field} for field in document.enums["user.fields"]]
    walks += [{"expansions": expansion} for expansion in document.user_expansions]
    for params in walks:
        answer = client.get(address, params=_speak(document, base | params))
        assert answer.status_code == 200, answer.text
        document.judge(path, 200, answer.json())


@pytest.mark.parametrize("path", [*TWEET_PATHS, *USER_PATHS])
def test_everything_at_once(
    document: Document, client: httpx.Client, asked: dict[str, tuple[str, dict[str, str]]], path: str
) -> None:
    """All fields with all expansions, on full pages with includes of every kind and errors."""
    address, base = asked[path]
    listed = document.parameters(path)
    fields = {name: ",".join(values) for name, values in document.enums.items() if name in listed and values}
    expansions = document.user_expansions if path in USER_PATHS else document.tweet_expansions
    params = base | fields | {"expansions": ",".join(expansions)}
    if "max_results" in params:
        params["max_results"] = "100"
    seen: set[str] = set()
    for _ in range(3):
        answer = client.get(address, params=params)
        assert answer.status_code == 200, answer.text
        document.judge(path, 200, answer.json())
        seen |= set(answer.json().get("includes", {})) | ({"errors"} & set(answer.json()))
        token = answer.json().get("meta", {}).get("next_token")
        if token is None:
            break
        params["pagination_token"] = token
    if path == "/2/tweets":
        assert seen == {"users", "media", "polls", "places", f"{document.vocabulary}s", "errors"}


def test_counts_and_usage(
    document: Document, client: httpx.Client, asked: dict[str, tuple[str, dict[str, str]]]
) -> None:
    """Counts of each granularity and the usage report."""
    counts = "/2/tweets/counts/recent"
    name = "tweet_count" if document.vocabulary == "tweet" else "post_count"
    for granularity in ("minute", "hour", "day"):
        params = asked[counts][1] | {"granularity": granularity, "search_count.fields": f"start,end,{name}"}
        document.judge(counts, 200, client.get(counts, params=params).json())
    usage = "/2/usage/tweets"
    fields = ",".join(document.enums["usage.fields"])
    answer = client.get(usage, params={"usage.fields": fields, "days": "3"}).json()
    assert set(answer["data"]) == set(document.enums["usage.fields"])
    if document.vocabulary == "tweet":
        # 2.166 says integers where the recording and 2.167 have strings.
        answer["data"] = {k: v for k, v in answer["data"].items() if k in ("cap_reset_day", "project_id")}
    document.judge(usage, 200, answer)


def test_an_empty_page(document: Document, client: httpx.Client) -> None:
    """No hits: only meta.result_count."""
    path = "/2/tweets/search/recent"
    answer = client.get(path, params=_speak(document, {"query": "wordthatnobodysays"}))
    assert answer.json() == {"meta": {"result_count": 0}}
    document.judge(path, 200, answer.json())


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": "min_faves:2 a"},
        {"query": "a", "max_results": "3"},
        {"query": "a", "since_id": "1"},
        {"query": "a", "start_time": "2026-09-01T00:00:00Z", "since_id": "1"},
        {"query": "a", "expansions": "nothing"},
        {"query": "a", "colour": "red"},
    ],
)
def test_refusals_are_problems_of_the_document(
    document: Document, client: httpx.Client, params: dict[str, str]
) -> None:
    """Each 400 is the document's InvalidRequestProblem."""
    path = "/2/tweets/search/recent"
    answer = client.get(path, params=_speak(document, params))
    assert answer.status_code == 400
    document.judge(path, 400, answer.json())
    assert not list(document._problem({k: v for k, v in answer.json().items() if k != "errors"}))


def test_refusals_without_a_type_of_their_own(openapi: Path, client: httpx.Client) -> None:
    """401, 403 and 429 are problems of 2.166; 2.167 has no type for them."""
    document, path = Document(openapi / FILES["tweet"], "tweet"), "/2/tweets/search/recent"
    for header, status in (("", 401), ("Basic x", 403), ("Bearer forbidden", 403)):
        answer = client.get(path, params={"query": "a"}, headers={"authorization": header})
        assert answer.status_code == status
        document.judge(path, status, answer.json())
    client.post("/_control/limits", json={"endpoint": "usage", "limit": 0})
    answer = client.get("/2/usage/tweets")
    assert answer.status_code == 429
    document.judge("/2/usage/tweets", 429, answer.json())


def _shape(value: Any) -> set[str]:
    """Paths of all leaves with the kind of JSON value, list positions left out."""
    if isinstance(value, dict):
        return {f".{name}{path}" for name, part in value.items() for path in _shape(part)}
    if isinstance(value, list):
        return {f"[]{path}" for part in value for path in _shape(part)}
    return {
        f": {'number' if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__}"
    }


def test_recorded_answers_have_the_shape_of_ours(recordings: Path, client: httpx.Client) -> None:
    """Every path of a recorded search answer with all fields also occurs in answers of the simulator."""
    recorded = json.loads((recordings / "sfm-twitter-harvester" / "warc_02.json").read_text())["body"]
    uri = json.loads((recordings / "sfm-twitter-harvester" / "warc_02.json").read_text())["request"]["uri"]
    fields = dict(part.split("=") for part in uri.partition("?")[2].replace("%2C", ",").split("&"))
    asked = {
        name: value for name, value in fields.items() if name.endswith(".fields") or name == "expansions"
    }
    ours: set[str] = set()
    params = asked | {"query": "the OR コーヒー", "max_results": "100"}
    for _ in range(4):
        page = client.get("/2/tweets/search/recent", params=params).json()
        ours |= _shape(page)
        params["next_token"] = page["meta"]["next_token"]
    assert not _shape(recorded) - ours
