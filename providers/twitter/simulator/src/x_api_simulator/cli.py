"""The command x-api-simulator."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import uvicorn

from x_api_simulator.clock import parse_moment, to_text
from x_api_simulator.journal import Journal, JournalMismatch
from x_api_simulator.server import create_app
from x_api_simulator.world import World


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns 2 if the options are invalid."""
    options = _parser().parse_args(arguments)
    epoch_ms = options.epoch if options.epoch is not None else time.time_ns() // 1_000_000
    world = World(options.seed, epoch_ms, options.rate)
    journal = None
    try:
        if options.journal is not None:
            journal = Journal(
                options.journal, {"seed": options.seed, "epoch_ms": epoch_ms, "rate": options.rate}
            )
        app = create_app(world, tokens=options.token, journal=journal, vocabulary=options.vocabulary)
    except (JournalMismatch, OSError) as error:
        print(f"x-api-simulator: {error}", file=sys.stderr)  # noqa: T201
        return 2
    world.now_ms()
    print(  # noqa: T201
        f"x-api-simulator: {len(world)} tweets since {to_text(epoch_ms)}, http://{options.host}:{options.port}",
        flush=True,
    )
    uvicorn.run(
        app, host=options.host, port=options.port, log_level="warning", access_log=False, lifespan="off"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="x-api-simulator",
        description="A simulator of the X API v2: a deterministic world that grows with the clock, X's rules, "
        "faults on demand, and the ground truth under /_control/.",
        epilog="The same seed, epoch and rate give the same world after every restart. Without --epoch the world "
        "begins now, and a restart begins a new one.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--seed", type=int, default=7, help="which world (default: %(default)s)")
    parser.add_argument(
        "--rate",
        type=_rate,
        default=2.0,
        metavar="N",
        help="tweets per second on average (default: %(default)s)",
    )
    parser.add_argument(
        "--epoch",
        type=_moment,
        metavar="TIME",
        help="start of the world, RFC 3339, preceded by six hours with a few hundred tweets (default: now)",
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="file that keeps changes made under /_control/, even after kill -9",
    )
    parser.add_argument(
        "--token",
        action="append",
        default=[],
        help='a bearer token to accept, repeatable (default: all but "invalid" -> 401 and "forbidden" -> 403)',
    )
    parser.add_argument(
        "--vocabulary",
        choices=("tweet", "post"),
        default="tweet",
        help="vocabulary for requests that use neither tweet.fields nor post.fields",
    )
    return parser


def _moment(text: str) -> int:
    try:
        return parse_moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate <= 1_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000 tweets per second")
    return rate
