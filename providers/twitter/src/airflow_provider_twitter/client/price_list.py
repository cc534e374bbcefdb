"""X's pay-per-use prices, as far as the table of endpoints needs them.

From the page "Pricing" (docs.x.com), read in September 2026. Failed requests are free if X itself says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class Price:
    """What X charges: `usd` for each object in an answer, or for each request."""

    usd: Decimal
    per: Literal["object", "request"]


POST_READ = Price(Decimal("0.005"), per="object")
USER_READ = Price(Decimal("0.010"), per="object")
COUNTS_REQUEST = Price(Decimal("0.005"), per="request")
FREE = Price(Decimal(0), per="request")
