"""The control door, /_control/: what tests and launchers, but not X's clients, may do to the world and ask about it.

It is not part of X. Changes to the world and its clock are journaled; faults, rate limits and the list of requests
live in memory. Errors are {"error": "..."} with status 400.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from x_api_simulator.clock import MAX_ID, first_id, parse_moment, to_text
from x_api_simulator.endpoints import timeline_ids
from x_api_simulator.faults import Fault, Faults
from x_api_simulator.journal import Journal
from x_api_simulator.limits import WINDOW_SECONDS, RateLimits
from x_api_simulator.query import parse_query
from x_api_simulator.seeding import build, settle
from x_api_simulator.text import HASHTAGS
from x_api_simulator.windows import DEFAULT_LAG_MS
from x_api_simulator.world import World

KEPT_REQUESTS = 20_000
Handler = Callable[[Request], Awaitable[Any]]


class ControlDoor:
    """Routes under /_control/ for one world. Opening it replays the journal."""

    def __init__(
        self, world: World, faults: Faults, limits: RateLimits, journal: Journal | None = None
    ) -> None:
        self._world, self._faults, self._limits, self._journal = world, faults, limits, journal
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        for entry in journal.entries if journal is not None else ():
            self._replay(entry)

    def routes(self) -> list[Route]:
        doors: list[tuple[str, str, Handler]] = [
            ("GET", "health", self._health),
            ("POST", "tweets", self._add_tweets),
            ("POST", "tweets/delete", self._delete),
            ("POST", "tweets/withhold", self._withhold),
            ("GET", "clock", self._clock),
            ("POST", "clock", self._set_clock),
            ("GET", "faults", self._list_faults),
            ("POST", "faults", self._add_faults),
            ("DELETE", "faults", self._clear_faults),
            ("POST", "limits", self._set_limits),
            ("GET", "requests", self._list_requests),
            ("DELETE", "requests", self._clear_requests),
            ("GET", "truth", self._truth),
        ]
        return [
            Route(f"/_control/{path}", _answering(handler), methods=[method])
            for method, path, handler in doors
        ]

    async def _health(self, request: Request) -> Any:
        world, now_ms = self._world, self._world.now_ms()
        return {
            "status": "ok",
            "now": to_text(now_ms),
            "frozen": world.clock.frozen_at_ms is not None,
            "tweets": len(world),
            "seed": world.seed,
            "epoch": to_text(world.epoch_ms),
            "rate": world.rate,
            "top_hashtags": list(HASHTAGS[:10]),
            "top_authors": [
                {"id": str(user.id), "username": user.username} for user in world.most_active[:10]
            ],
        }

    async def _add_tweets(self, request: Request) -> Any:
        given = await _json(request)
        now_ms = self._world.now_ms()
        made: list[dict[str, Any]] = []
        try:
            for one in given if isinstance(given, list) else [given]:
                settled = settle(self._world, one, now_ms)
                build(self._world, settled)
                made.append(settled)
        finally:
            if made:
                self._write({"do": "tweets", "at_ms": now_ms, "tweets": made})
        return {"ids": [one["id"] for one in made]}

    async def _delete(self, request: Request) -> Any:
        ids, now_ms = self._known_ids(await _json(request)), self._world.now_ms()
        self._carry_out({"do": "delete", "at_ms": now_ms, "ids": ids})
        return {"deleted": ids}

    async def _withhold(self, request: Request) -> Any:
        given = await _json(request)
        ids, now_ms = self._known_ids(given), self._world.now_ms()
        codes = given.get("country_codes", ["DE"])
        self._carry_out({"do": "withhold", "at_ms": now_ms, "ids": ids, "country_codes": codes})
        return {"withheld": ids, "country_codes": codes}

    async def _clock(self, request: Request) -> Any:
        now_ms, frozen = self._world.now_ms(), self._world.clock.frozen_at_ms is not None
        return {"now": to_text(now_ms), "frozen": frozen}

    async def _set_clock(self, request: Request) -> Any:
        given = await _json(request)
        if unknown := set(given) - {"now", "advance_seconds", "frozen"}:
            raise ValueError(
                f"the clock has no {', '.join(sorted(unknown))}; it has now, advance_seconds, frozen"
            )
        clock = self._world.clock
        if given.get("frozen") is True:
            clock.freeze()
        if "now" in given:
            clock.move_to(parse_moment(given["now"]))
        if "advance_seconds" in given:
            clock.move_to(clock.now_ms() + int(float(given["advance_seconds"]) * 1000))
        if given.get("frozen") is False:
            clock.run()
        self._write({"do": "clock", "offset_ms": clock.offset_ms, "frozen_at_ms": clock.frozen_at_ms})
        return await self._clock(request)

    async def _list_faults(self, request: Request) -> Any:
        return {"faults": self._faults.listed()}

    async def _add_faults(self, request: Request) -> Any:
        given = await _json(request)
        for fault in [Fault.read(one) for one in (given if isinstance(given, list) else [given])]:
            self._faults.add(fault)
        return {"faults": self._faults.listed()}

    async def _clear_faults(self, request: Request) -> Any:
        self._faults.clear()
        return {"faults": []}

    async def _set_limits(self, request: Request) -> Any:
        given = await _json(request)
        window_seconds = float(given.get("window_seconds", WINDOW_SECONDS))
        self._limits.set(given["endpoint"], int(given["limit"]), window_seconds)
        return {"endpoint": given["endpoint"], "limit": int(given["limit"]), "window_seconds": window_seconds}

    async def _list_requests(self, request: Request) -> Any:
        return {"requests": list(self.requests)}

    async def _clear_requests(self, request: Request) -> Any:
        self.requests.clear()
        return {"requests": []}

    async def _truth(self, request: Request) -> Any:
        """What a search or timeline shows at a given time, without pages, limits or the seven-day bound."""
        params = request.query_params
        allowed = {
            "query",
            "user_id",
            "username",
            "exclude",
            "start_time",
            "end_time",
            "since_id",
            "until_id",
            "at",
        }
        if unknown := set(params) - allowed:
            raise ValueError(
                f"truth has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(allowed))}"
            )
        world, now_ms = self._world, self._world.now_ms()
        at_ms = parse_moment(params["at"]) if "at" in params else now_ms
        world.grow(at_ms)
        if "query" in params:
            ids, end_ms = world.ids_matching(parse_query(params["query"])), at_ms - DEFAULT_LAG_MS
        else:
            user = world.by_username.get(params["username"].casefold()) if "username" in params else None
            user_id = user.id if user is not None else int(params.get("user_id", -1))
            exclude = frozenset(filter(None, params.get("exclude", "").split(",")))
            ids, end_ms = timeline_ids(world, user_id, exclude), at_ms + 1
        lowest = first_id(parse_moment(params["start_time"])) if "start_time" in params else 0
        lowest = max(lowest, int(params.get("since_id", -1)) + 1)
        highest = first_id(end_ms) - 1
        if "end_time" in params or "until_id" in params:
            highest = first_id(parse_moment(params["end_time"])) - 1 if "end_time" in params else MAX_ID
            highest = min(highest, int(params.get("until_id", MAX_ID)) - ("until_id" in params))
        truth = world.truth(ids, lowest, highest, at_ms)
        return {
            "at": to_text(at_ms),
            "count": len(truth.ids),
            "ids": [str(one) for one in truth.ids],
            "superseded": [str(one) for one in truth.superseded],
            "removed": [str(one) for one in truth.removed],
        }

    def _known_ids(self, given: Any) -> list[str]:
        ids = [str(one) for one in given["ids"]]
        if unknown := [one for one in ids if int(one) not in self._world.tweets]:
            raise ValueError(f"there are no tweets with these ids: {', '.join(unknown)}")
        return ids

    def _carry_out(self, entry: dict[str, Any]) -> None:
        self._write(entry)
        self._apply(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.write(entry)

    def _replay(self, entry: dict[str, Any]) -> None:
        if "at_ms" in entry:
            self._world.grow(entry["at_ms"])
        if entry["do"] == "tweets":
            for settled in entry["tweets"]:
                build(self._world, settled)
        elif entry["do"] == "clock":
            clock = self._world.clock
            clock.offset_ms, clock.frozen_at_ms = entry["offset_ms"], entry["frozen_at_ms"]
        else:
            self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        for tweet in [self._world.tweets[int(one)] for one in entry["ids"]]:
            if entry["do"] == "delete":
                self._world.remove(tweet, entry["at_ms"])
            else:
                tweet.withheld = tuple(entry["country_codes"])


async def _json(request: Request) -> Any:
    return orjson.loads(await request.body())


def _answering(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler in JSON; a caller's mistake becomes a 400 that explains it."""

    async def endpoint(request: Request) -> Response:
        try:
            status, answer = 200, await handler(request)
        except KeyError as error:
            status, answer = 400, {"error": f"missing or unknown: {error.args[0]}"}
        except (ValueError, TypeError, AttributeError) as error:
            status, answer = 400, {"error": str(error)}
        return Response(orjson.dumps(answer), status, media_type="application/json")

    return endpoint
