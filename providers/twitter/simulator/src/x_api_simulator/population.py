"""Who lives in the world: accounts of every state, and places.

How active accounts are follows a Zipf law. Suspended, protected and deactivated accounts appear only when others
mention, answer or quote them. They are the reason why includes are missing (x-api-v2.md §9:
73 referenced tweets not in includes, 387 of 1,337 mentions without an id).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from random import Random

from x_api_simulator.chance import draw
from x_api_simulator.clock import first_id, parse_moment
from x_api_simulator.text import BIOS, DISPLAY_NAMES, NAMED_PLACES, SYLLABLES

OLDEST_ACCOUNT_MS = parse_moment("2008-03-01T00:00:00Z")
NEWEST_ACCOUNT_MS = parse_moment("2025-06-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class User:
    """An account. `state`: active, protected, suspended or deactivated (gone)."""

    id: int
    username: str
    name: str
    created_ms: int
    state: str = "active"
    bio: str = ""
    location: str = ""
    verified_type: str = "none"
    followers: int = 0
    hydrated: bool = True
    """False: X leaves this author out of includes without a word (x-api-v2.md §9: 6 authors unresolved)."""


@dataclass(frozen=True, slots=True)
class Place:
    id: str
    name: str
    full_name: str
    country: str
    country_code: str
    place_type: str
    bbox: tuple[float, float, float, float]


PLACES: tuple[Place, ...] = (
    Place(
        "0a1b2c3d4e5f6071",
        "Port Ellery",
        "Port Ellery, Norway",
        "Norway",
        "NO",
        "city",
        (5.11, 60.21, 5.48, 60.5),
    ),
    Place(
        "1b2c3d4e5f60718a", "Novasund", "Novasund, Sverige", "Sverige", "SE", "city", (11.8, 57.5, 12.2, 57.8)
    ),
    Place(
        "2c3d4e5f60718a9b",
        "Kestrel Bay",
        "Kestrel Bay, WA",
        "United States",
        "US",
        "admin",
        (-124.7, 45.5, -116.9, 49.0),
    ),
    Place(
        "3d4e5f60718a9b0c",
        "Valdoria",
        "Valdoria, España",
        "España",
        "ES",
        "neighborhood",
        (-3.9, 40.3, -3.5, 40.6),
    ),
    Place(
        "4e5f60718a9b0c1d", "カフェ通り", "カフェ通り, 日本", "日本", "JP", "poi", (139.7, 35.6, 139.7, 35.6)
    ),
)


def build_population(rng: Random, size: int) -> tuple[list[User], list[User]]:
    """(accounts that tweet, most active first; accounts that others only refer to)."""
    usernames = _usernames(rng, size + size // 20 + 8)
    people = [_user(rng, username, "active") for username in usernames[:size]]
    states = ("suspended", "protected", "deactivated")
    spoken_of = [_user(rng, name, states[i % 3]) for i, name in enumerate(usernames[size:])]
    return people, spoken_of


def newcomer(username: str, at_ms: int) -> User:
    """An account that the control door creates because a seeded tweet names it; its id is derived from its name."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,15}", username):
        raise ValueError(f"{username!r} is not a username: use 1 to 15 of A-Z a-z 0-9 _")
    digest = hashlib.blake2b(username.casefold().encode(), digest_size=6).digest()
    return User(3_000_000_000 + int.from_bytes(digest, "big"), username, username, at_ms, followers=10)


def _usernames(rng: Random, count: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        name = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 5)))
        style = rng.randrange(4)
        name = (name, name.capitalize(), f"{name}_{rng.randrange(100)}", f"The{name.capitalize()}")[style]
        names.setdefault(name[:15])
    distinct_when_folded = {name.casefold(): name for name in names}
    return list(distinct_when_folded.values()) + [
        f"extra_{n}" for n in range(len(names) - len(distinct_when_folded))
    ]


def _user(rng: Random, username: str, state: str) -> User:
    created_ms = rng.randrange(OLDEST_ACCOUNT_MS, NEWEST_ACCOUNT_MS)
    # Accounts older than 2013 have small serial numbers, later ones have snowflakes [general knowledge].
    small = rng.randrange(1_000, 1_500_000_000)
    user_id = (
        small
        if created_ms < parse_moment("2013-01-01T00:00:00Z")
        else first_id(created_ms) + rng.randrange(1 << 22)
    )
    return User(
        user_id,
        username,
        rng.choice(DISPLAY_NAMES) + " " + username[:5],
        created_ms,
        state,
        rng.choice(BIOS),
        rng.choice((*NAMED_PLACES, "", "", "🌍")),
        rng.choices(("none", "blue", "business", "government"), (80, 15, 3, 2))[0],
        int(rng.paretovariate(0.9) * 40) % 5_000_000,
        hydrated=draw(user_id, 1, 200) != 0,
    )
