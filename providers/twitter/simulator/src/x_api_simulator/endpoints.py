"""The X endpoints that the simulator answers: which parameters each one takes, and what it answers.

Parameters, bounds and answer shapes follow the paths of the same name in OpenAPI 2.166 and 2.167; order, paging and
the shape of an empty page follow x-api-v2.md §4 and §7 and recordings/sfm-twitter-harvester/warc_01.json.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from x_api_simulator.clock import first_id, moment_of, to_text
from x_api_simulator.expansions import Includes
from x_api_simulator.faults import Fault
from x_api_simulator.population import User
from x_api_simulator.problems import Error, invalid_request, missing
from x_api_simulator.query import Query, QueryError, parse_query
from x_api_simulator.rendering import View
from x_api_simulator.tweets import Tweet
from x_api_simulator.vocabulary import POST, USAGE_FIELDS, Vocabulary, read_wanted, spoken
from x_api_simulator.windows import Fault as Objection
from x_api_simulator.windows import Token, Window, search_window, timeline_window
from x_api_simulator.world import World

Answer = dict[str, Any]
MOST_IDS = 100
MOST_MENTIONS = 800

_TWEET_SHAPE = frozenset(
    [
        "tweet.fields",
        "post.fields",
        "expansions",
        "media.fields",
        "poll.fields",
        "user.fields",
        "place.fields",
    ]
)
_USER_SHAPE = frozenset(["tweet.fields", "post.fields", "expansions", "user.fields"])
_SEARCH = frozenset(
    ["query", "start_time", "end_time", "since_id", "until_id", "next_token", "pagination_token"]
)


@dataclass(slots=True)
class Request:
    """An admitted request: parameters as sent, the vocabulary it uses, and the moment for which it is answered."""

    world: World
    params: Mapping[str, str]
    vocabulary: Vocabulary
    now_ms: int
    user_id: str = ""
    fault: Fault | None = None

    def refuse(self, objections: list[Objection]) -> None:
        """Raise X's 400 if there is anything to object to."""
        if objections:
            raise invalid_request(self.vocabulary.name, objections)

    def obeyed(self) -> Mapping[str, str]:
        """The parameters, except those that a fault makes the server ignore."""
        ignored = self.fault.ignore if self.fault is not None else ()
        return {name: value for name, value in self.params.items() if name not in ignored}


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    path: str
    limit: int
    """Requests per app and 15 minutes (x-api-v2.md §2)."""
    params: frozenset[str]
    answer: Callable[[Request], Answer]
    required: str = ""
    auth: frozenset[str] = frozenset(["BearerToken", "OAuth2UserToken", "UserToken"])
    """Accepted credentials, by their names in OpenAPI `security`."""


def ask(
    endpoint: Endpoint, world: World, params: list[tuple[str, str]], default: Vocabulary, **more: Any
) -> Answer:
    """The body of a 200. Raises Refused if X would refuse."""
    asked = dict(params)
    vocabulary = spoken(asked, default)
    request = Request(world, asked, vocabulary, world.now_ms(), **more)
    allowed = ",".join(sorted(endpoint.params))
    objections = [
        (name, value, f"The query parameter [{name}] is not one of [{allowed}]")
        for name, value in params
        if name not in endpoint.params
    ]
    if endpoint.required and not asked.get(endpoint.required):
        objections.append(
            (endpoint.required, "", f"The `{endpoint.required}` query parameter can not be empty")
        )
    request.refuse(objections)
    return endpoint.answer(request)


def read_query(request: Request) -> Query:
    try:
        return parse_query(request.params["query"])
    except QueryError as error:
        raise invalid_request(
            request.vocabulary.name, [("query", request.params["query"], str(error))]
        ) from None


def timeline_ids(world: World, user_id: int, exclude: frozenset[str]) -> list[int]:
    """Ids of a user's timeline, ascending, without the kinds in `exclude` (replies, retweets)."""
    unwanted = {{"replies": "replied_to", "retweets": "retweeted"}[kind] for kind in exclude}
    ids = world.ids_by(user_id)
    if not unwanted:
        return ids
    return [n for n in ids if not any(kind in unwanted for kind, _ in world.tweets[n].refs)]


def _search_recent(request: Request) -> Answer:
    query, params = read_query(request), request.obeyed()
    window, objections = search_window(params, request.now_ms)
    count, wrong = _number(request, "max_results", 10, 100, 10)
    if params.get("sort_order", "recency") not in ("recency", "relevancy"):
        text = f"The `sort_order` query parameter value [{params['sort_order']}] is not one of [recency,relevancy]"
        objections.append(("sort_order", params["sort_order"], text))
    token = _token(request, query.text, objections + wrong)
    return _page(
        request, request.world.ids_matching(query), window, count, token, query.text, both_ways=False
    )


def _users_tweets(request: Request) -> Answer:
    exclude = frozenset(filter(None, request.obeyed().get("exclude", "").split(",")))
    objections: list[Objection] = [
        ("exclude", kind, f"The `exclude` query parameter value [{kind}] is not one of [replies,retweets]")
        for kind in sorted(exclude - {"replies", "retweets"})
    ]
    return _of_user(
        request,
        f"timeline {request.user_id} {sorted(exclude)}",
        objections,
        lambda user: timeline_ids(request.world, user.id, exclude),
    )


def _users_mentions(request: Request) -> Answer:
    """The newest 800 tweets that mention the user (x-api-v2.md §2), without retweets, as recent search finds them."""

    def mentioning(user: User) -> list[int]:
        query = parse_query(f"@{user.username} -is:retweet")
        return request.world.ids_matching(query)[-MOST_MENTIONS:]

    return _of_user(request, f"mentions {request.user_id}", [], mentioning)


def _of_user(
    request: Request, asked: str, objections: list[Objection], ids_of: Callable[[User], list[int]]
) -> Answer:
    """A page of tweets that belong to the user in the path, or what X says of one who is not shown."""
    window, wrong_window = timeline_window(request.obeyed(), request.now_ms)
    count, wrong_count = _number(request, "max_results", 5, 100, 10)
    objections = [*wrong_window, *objections]
    user_id = request.user_id
    if not re.fullmatch(r"[0-9]{1,19}", user_id):
        text = f"The `id` query parameter value [{user_id}] does not match ^[0-9]{{1,19}}$"
        objections.append(("id", user_id, text))
    token = _token(request, asked, objections + wrong_count)
    user = request.world.users.get(int(user_id))
    if user is None or user.state != "active":
        state = user.state if user else "deactivated"
        resource = "tweet" if state == "protected" else "user"
        return {"errors": [missing(request.vocabulary.name, resource, "id", user_id, "data", state)]}
    return _page(request, ids_of(user), window, count, token, asked, both_ways=True)


def _number(request: Request, name: str, least: int, most: int, default: int) -> tuple[int, list[Objection]]:
    value = request.params.get(name)
    if value is None:
        return default, []
    if re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most:
        return int(value), []
    return default, [
        (name, value, f"The `{name}` query parameter value [{value}] is not between {least} and {most}")
    ]


def _token(request: Request, asked: str, objections: list[Objection]) -> Token | None:
    """The token of the request, after every other objection has been raised."""
    given = [name for name in ("next_token", "pagination_token") if name in request.params]
    if len(given) > 1:
        text = "At most one of `pagination_token`, `next_token` may be provided."
        objections.append(("pagination_token", request.params["pagination_token"], text))
    request.refuse(objections)
    if not given or (request.fault is not None and request.fault.repeat_page):
        return None
    value = request.params[given[0]]
    try:
        return Token.decode(value, asked)
    except ValueError:
        text = f"The `{given[0]}` query parameter value [{value}] is not valid"
        raise invalid_request(request.vocabulary.name, [(given[0], value, text)]) from None


def _page(
    request: Request,
    ids: list[int],
    window: Window,
    count: int,
    token: Token | None,
    asked: str,
    both_ways: bool,
) -> Answer:
    """One page, newest first.

    `count` candidates are taken, and those that cannot be shown are left out afterwards. So a short page is not
    necessarily the last one (x-api-v2.md §7: fewer than max_results is not the end).
    """
    wanted, objections = read_wanted(request.params, request.vocabulary, of_users=False)
    request.refuse(objections)
    world = request.world
    window = token.window if token else window
    low, high = bisect_left(ids, window.lowest), bisect_right(ids, window.highest)
    shown: list[Tweet] = []
    first = last = 0
    if token is not None and token.backward:
        first = bisect_right(ids, token.anchor, low, high)
        last = min(high, first + count)
        shown = [t for n in ids[first:last] if (t := world.tweets[n]).found_at(request.now_ms)]
    else:
        last = bisect_right(ids, token.anchor, low, high) if token else high
        first = last
        while first > low and not shown:
            first, end = max(low, first - count), first
            shown = [t for n in ids[first:end] if (t := world.tweets[n]).found_at(request.now_ms)]
    if not shown:
        return {"meta": {"result_count": 0}}
    shown.reverse()
    if request.fault is not None and request.fault.unsorted:
        shown = shown[1::2] + shown[::2]
    view = View(world, request.now_ms, wanted)
    answer: Answer = {"data": [view.tweet(tweet) for tweet in shown]}
    includes = Includes(view)
    includes.of_tweets(shown)
    includes.fill(answer)
    numbers = [tweet.id for tweet in shown]
    meta = {"newest_id": str(max(numbers)), "oldest_id": str(min(numbers)), "result_count": len(shown)}
    if first > low:
        meta["next_token"] = Token(window, ids[first - 1]).encode(asked)
    if both_ways and token is not None and last < high:
        meta["previous_token"] = Token(window, ids[last - 1], backward=True).encode(asked)
    answer["meta"] = meta
    if request.fault is not None and request.fault.repeat_page:
        meta["next_token"] = Token(window, ids[high - 1]).encode(asked)
    return answer


def _list_of(request: Request, name: str, pattern: str) -> list[str]:
    values = request.params[name].split(",")
    objections = [
        (name, value, f"The `{name}` query parameter value [{value}] does not match {pattern}")
        for value in values
        if not re.fullmatch(pattern, value)
    ]
    if len(values) > MOST_IDS:
        text = f"size must be between 1 and {MOST_IDS}: the `{name}` query parameter has {len(values)}"
        objections.append((name, request.params[name], text))
    request.refuse(objections)
    return list(dict.fromkeys(values))


def _tweets(request: Request) -> Answer:
    values = _list_of(request, "ids", "^[0-9]{1,19}$")
    wanted, objections = read_wanted(request.params, request.vocabulary, of_users=False)
    request.refuse(objections)
    found: list[Tweet] = []
    errors: list[Error] = []
    for value in values:
        tweet = request.world.tweets.get(int(value))
        if tweet is not None and tweet.exists_at(request.now_ms):
            found.append(tweet)
        else:
            ghost = request.world.ghosts.get(int(value))
            state = ghost.state if ghost else "deactivated"
            errors.append(missing(request.vocabulary.name, "tweet", "ids", value, "data", state))
    view = View(request.world, request.now_ms, wanted)
    answer: Answer = {"data": [view.tweet(tweet) for tweet in found]} if found else {}
    if errors:
        answer["errors"] = errors
    includes = Includes(view)
    includes.of_tweets(found)
    includes.fill(answer)
    return answer


def _users(request: Request) -> Answer:
    by_id = "ids" in request.params
    name = "ids" if by_id else "usernames"
    values = _list_of(request, name, "^[0-9]{1,19}$" if by_id else "^[A-Za-z0-9_]{1,15}$")
    wanted, objections = read_wanted(request.params, request.vocabulary, of_users=True)
    request.refuse(objections)
    world, found, errors = request.world, [], []
    for value in values:
        user = world.users.get(int(value)) if by_id else world.by_username.get(value.casefold())
        if user is not None and user.state in ("active", "protected"):
            found.append(user)
        else:
            state = user.state if user else "deactivated"
            errors.append(missing(request.vocabulary.name, "user", name, value, "data", state))
    view = View(world, request.now_ms, wanted)
    answer: Answer = {"data": [view.user(user) for user in found]} if found else {}
    if errors:
        answer["errors"] = errors
    includes = Includes(view)
    includes.of_users(found)
    includes.fill(answer)
    return answer


_STEPS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def _counts_recent(request: Request) -> Answer:
    """Buckets from oldest to newest, cut at the window's edges (recordings/tweepy-cassettes, counts__0).

    Counts are not filtered for compliance, so they may exceed what search shows (x-api-v2.md §7).
    """
    query, params = read_query(request), request.obeyed()
    window, objections = search_window(params, request.now_ms)
    granularity = params.get("granularity", "hour")
    if granularity not in _STEPS_MS:
        text = f"The `granularity` query parameter value [{granularity}] is not one of [minute,hour,day]"
        objections.append(("granularity", granularity, text))
    name = "post_count" if request.vocabulary is POST else "tweet_count"
    fields = frozenset(params.get("search_count.fields", f"end,start,{name}").split(","))
    for wrong in sorted(fields - request.vocabulary.count_fields):
        text = f"The `search_count.fields` query parameter value [{wrong}] is not one of [end,start,{name}]"
        objections.append(("search_count.fields", wrong, text))
    _token(request, query.text, objections)
    ids, step = request.world.ids_matching(query), _STEPS_MS[granularity]
    start_ms = moment_of(window.lowest)
    end_ms = moment_of(window.highest + 1)
    data, total = [], 0
    while start_ms < end_ms:
        until_ms = min(end_ms, (start_ms // step + 1) * step)
        lowest, highest = max(window.lowest, first_id(start_ms)), min(window.highest + 1, first_id(until_ms))
        counted = bisect_left(ids, highest) - bisect_left(ids, lowest)
        total += counted
        data.append({"end": to_text(until_ms), "start": to_text(start_ms), name: counted})
        start_ms = until_ms
    return {"data": data, "meta": {f"total_{name}": total}}


def _usage(request: Request) -> Answer:
    """The usage, as in recordings/sns-sdks…/usage_tweets_resp.json and 2.167: numbers as strings.

    2.166 declares project_cap, project_usage and usage as integers; the recording contradicts it.
    """
    days, objections = _number(request, "days", 1, 90, 7)
    fields = frozenset(
        request.params.get("usage.fields", "cap_reset_day,project_cap,project_id,project_usage").split(",")
    )
    for wrong in sorted(fields - USAGE_FIELDS):
        text = f"The `usage.fields` query parameter value [{wrong}] is not one of [{','.join(sorted(USAGE_FIELDS))}]"
        objections.append(("usage.fields", wrong, text))
    request.refuse(objections)
    today = request.now_ms // 86_400_000
    daily = [{"date": to_text(day * 86_400_000), "usage": "0"} for day in range(today - days + 1, today + 1)]
    usage: dict[str, Any] = {
        "cap_reset_day": 1,
        "daily_client_app_usage": [{"client_app_id": "7", "usage": daily, "usage_result_count": len(daily)}],
        "daily_project_usage": {"project_id": "700", "usage": daily},
        "project_cap": "3000000",
        "project_id": "700",
        "project_usage": "0",
    }
    return {"data": {name: value for name, value in usage.items() if name in fields}}


_PAGING = frozenset(["max_results", "sort_order"])
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "search_recent",
        "/2/tweets/search/recent",
        450,
        _SEARCH | _PAGING | _TWEET_SHAPE,
        _search_recent,
        "query",
    ),
    Endpoint(
        "users_tweets",
        "/2/users/{id}/tweets",
        10_000,
        _TWEET_SHAPE
        | frozenset(
            ["max_results", "exclude", "start_time", "end_time", "since_id", "until_id", "pagination_token"]
        ),
        _users_tweets,
    ),
    Endpoint(
        "users_mentions",
        "/2/users/{id}/mentions",
        450,
        _TWEET_SHAPE
        | frozenset(["max_results", "start_time", "end_time", "since_id", "until_id", "pagination_token"]),
        _users_mentions,
    ),
    Endpoint("users_by", "/2/users/by", 300, _USER_SHAPE | {"usernames"}, _users, "usernames"),
    Endpoint("users", "/2/users", 300, _USER_SHAPE | {"ids"}, _users, "ids"),
    Endpoint("tweets", "/2/tweets", 3_500, _TWEET_SHAPE | {"ids"}, _tweets, "ids"),
    Endpoint(
        "counts_recent",
        "/2/tweets/counts/recent",
        300,
        _SEARCH | {"granularity", "search_count.fields"},
        _counts_recent,
        "query",
        frozenset(["BearerToken", "OAuth2UserToken"]),
    ),
    Endpoint(
        "usage",
        "/2/usage/tweets",
        50,
        frozenset(["days", "usage.fields"]),
        _usage,
        auth=frozenset(["BearerToken"]),
    ),
)
