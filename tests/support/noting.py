"""What notes how it was used: the books of a poll, and a sleep that takes no time."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_twitter.poll import InMemoryBooks


@dataclass
class NotingBooks(InMemoryBooks):
    """In-memory books that note every call in order."""

    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def may_spend(self, endpoint: str, price_usd: Any) -> str:
        self.notes.append(("may_spend", {"endpoint": endpoint, "price_usd": price_usd}))
        super().may_spend(endpoint, price_usd)
        return f"reservation-{len(self.notes)}"

    def record_request(self, reservation: str, **facts: Any) -> None:
        self.notes.append(("record_request", {"reservation": reservation, **facts}))
        super().record_request(reservation, **facts)

    def page_acknowledged(self, **facts: Any) -> None:
        self.notes.append(("page_acknowledged", facts))
        super().page_acknowledged(**facts)

    def poll_finished(self, newest_id: int | None, newest_at: datetime | None) -> None:
        self.notes.append(("poll_finished", {"newest_id": newest_id}))
        super().poll_finished(newest_id, newest_at)

    def count_differs(self, request_id: str, **facts: Any) -> None:
        self.notes.append(("count_differs", facts))

    def set_aside(self, **facts: Any) -> None:
        self.notes.append(("set_aside", facts))
        super().set_aside(**facts)

    def noted(self, name: str) -> list[dict[str, Any]]:
        return [facts for each, facts in self.notes if each == name]


@dataclass
class Slept:
    """How long the client would have slept."""

    seconds: list[float] = field(default_factory=list)
