"""Triggers are iterated without a triggerer; the doorbell has a probe that the test controls."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider_twitter.triggers import kafka_lag
from airflow_provider_twitter.triggers.kafka_lag import KafkaLagTrigger, Look, Patience
from airflow_provider_twitter.triggers.rate_limit_reset import RateLimitResetTrigger


async def rings(trigger: Any, count: int, within_seconds: float) -> list[TriggerEvent]:
    """The first events of a trigger, or those that came in time."""
    events: list[TriggerEvent] = []
    running: AsyncIterator[TriggerEvent] = trigger.run()
    try:
        async with asyncio.timeout(within_seconds):
            while len(events) < count:
                events.append(await anext(running))
    except TimeoutError:
        pass
    finally:
        await running.aclose()  # type: ignore[attr-defined]
    return events


class MovedProbe:
    """A probe that returns what the test sets; it can be broken."""

    def __init__(self) -> None:
        self.lag: dict[int, int] = {}
        self.broken = False
        self.closed = threading.Event()

    def look(self, wait_seconds: float) -> Look:
        if self.broken:
            raise RuntimeError("broker is gone")
        if not self.lag:
            time.sleep(wait_seconds)
        return Look(dict(self.lag), dict(self.lag))

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def probe() -> MovedProbe:
    return MovedProbe()


@pytest.fixture
def doorbell(probe: MovedProbe, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KafkaLagTrigger]:
    """Makes doorbells whose probe is the test's."""

    async def open_probe(self: KafkaLagTrigger) -> MovedProbe:
        if probe.broken:
            raise ConnectionError("no connection of Airflow")
        return probe

    monkeypatch.setattr(KafkaLagTrigger, "open_probe", open_probe)
    monkeypatch.setattr(kafka_lag, "outage_pause", lambda outages: 0.01 * outages)
    monkeypatch.setattr(kafka_lag, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(kafka_lag, "HELD_LOOK_SECONDS", 0.01)

    def make(**options: Any) -> KafkaLagTrigger:
        ids = {"kafka_conn_id": "pipeline_kafka", "topic": "raw-tweets", "group_id": "land"}
        return KafkaLagTrigger(**{**ids, "interval_seconds": 0.05, **options})

    return make


def test_the_doorbell_rings_again_for_a_lag_that_nobody_reads(doorbell: Any, probe: MovedProbe) -> None:
    """It rings at once and then every interval, with a reference instead of a message."""
    probe.lag = {1: 42}
    started = time.monotonic()
    events = asyncio.run(rings(doorbell(), 3, 2))
    assert [event.payload for event in events] == [
        {"topic": "raw-tweets", "group_id": "land", "partitions": {"1": 42}}
    ] * 3
    assert 0.09 <= time.monotonic() - started < 1


def test_the_doorbell_is_silent_without_a_lag(doorbell: Any) -> None:
    """Without anything to read there is no ring."""
    assert asyncio.run(rings(doorbell(), 1, 0.3)) == []


def test_the_doorbell_outlives_outages(doorbell: Any, probe: MovedProbe) -> None:
    """While Kafka or Airflow is away it retries with pauses, and rings when they are back."""

    async def break_and_heal() -> list[TriggerEvent]:
        probe.broken = True
        trigger = doorbell()
        ringing = asyncio.create_task(rings(trigger, 1, 3))
        await asyncio.sleep(0.2)
        assert not ringing.done()
        probe.broken, probe.lag = False, {0: 7}
        return await ringing

    assert len(asyncio.run(break_and_heal())) == 1


def test_a_probe_that_broke_is_closed_and_made_anew(doorbell: Any, probe: MovedProbe) -> None:
    """After an error in the middle the old connections are closed."""

    async def break_in_the_middle() -> None:
        probe.lag = {0: 1}
        running = doorbell().run()
        await anext(running)
        probe.look = lambda wait_seconds: (_ for _ in ()).throw(RuntimeError("gone"))  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(running), 0.3)

    asyncio.run(break_in_the_middle())
    assert probe.closed.is_set()


def test_the_doorbell_blocks_no_loop_and_closes_when_cancelled(
    doorbell: Any, probe: MovedProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other triggers keep running while it waits; a cancelled doorbell closes its connections."""

    async def cancel() -> float:
        monkeypatch.setattr(kafka_lag, "LOOK_SECONDS", 0.5)
        ringing = asyncio.create_task(rings(doorbell(), 1, 10))
        await asyncio.sleep(0.1)
        longest, last = 0.0, time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        ringing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ringing
        return longest

    assert asyncio.run(cancel()) < 0.2
    assert probe.closed.wait(2)


def test_the_outage_pause_grows_and_is_capped() -> None:
    """During outages it retries less and less often, down to every 30 seconds."""
    pauses = [kafka_lag.outage_pause(outages) for outages in (1, 4, 50)]
    assert 0.5 <= pauses[0] <= 1
    assert 4 <= pauses[1] <= 8
    assert 15 <= pauses[2] <= 30


class Scene:
    """A clock and a group with one partition, looked at every 0.25 s.

    `produced`, `position` and `coming`, what the stage upstream has yet to read, are moved by hand.
    """

    def __init__(self, interval_seconds: float = 30.0) -> None:
        self.now = 1000.0
        self.produced = self.position = self.coming = 0
        self.patience = Patience(interval_seconds, lambda: self.now)

    def ring_times(self, seconds: float, each: Callable[[float], None] = lambda passed: None) -> list[float]:
        """When it rang, in seconds from now; `each` is called before each look with the seconds that passed."""
        began, times = self.now, []
        while self.now - began < seconds:
            each(self.now - began)
            unread = {0: self.position} if self.produced > self.position else {}
            coming = {1: self.coming} if self.coming and not unread else {}
            if self.patience.is_over(Look({0: self.position}, unread, coming)):
                times.append(self.now - began)
            self.now += 0.25
        return times


def test_one_message_rings_once_while_its_run_begins() -> None:
    """A run takes seconds to start and read; ringing meanwhile would cause a second run that finds nothing."""
    scene = Scene()
    scene.produced = 5

    def read_after_three_seconds(passed: float) -> None:
        if passed >= 3:
            scene.position = 5

    assert scene.ring_times(60, read_after_three_seconds) == [0]


def test_the_bell_is_held_back_while_a_drain_reads() -> None:
    """While a lingering drain takes each message within a second, there is no ring, however many there are."""
    scene = Scene()

    def come_and_be_read(passed: float) -> None:
        scene.position, scene.produced = scene.produced, int(passed) + 1

    assert scene.ring_times(50, come_and_be_read) == [0]


def test_a_drain_that_ends_with_messages_left_is_rung_for_within_seconds() -> None:
    """Four seconds after its last move a reader counts as stopped."""
    scene = Scene()
    scene.produced = 1000

    def read_for_five_seconds(passed: float) -> None:
        scene.produced += 100
        if 1 <= passed <= 5:
            scene.position += 100

    times = scene.ring_times(14, read_for_five_seconds)
    assert times[0] == 0
    assert len(times) == 2
    assert 9 <= times[1] <= 9.5


def test_the_bell_is_never_held_back_longer_than_ten_seconds() -> None:
    """A reader that moves but never catches up does not silence it."""
    scene = Scene()
    scene.produced = 10**6

    def crawl(passed: float) -> None:
        scene.position += 1

    times = scene.ring_times(31, crawl)
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 10.5
    assert len(times) == 4


def test_a_ring_that_nobody_answers_is_repeated() -> None:
    """If a run never starts, or fails before it reads, the doorbell rings again, but not every few seconds."""
    scene = Scene(interval_seconds=30)
    scene.produced = 1
    assert scene.ring_times(70) == [0, 30, 60]


def test_a_slow_run_is_waited_for() -> None:
    """On a busy machine a run starts late and its first batch takes long; one ring is enough."""
    scene = Scene()
    scene.produced = 3000

    def begin_late(passed: float) -> None:
        if passed >= 18:
            scene.position = 2000
        if passed >= 21:
            scene.position = 3000

    assert scene.ring_times(60, begin_late) == [0]


def test_a_message_after_a_quiet_while_rings_at_once() -> None:
    """After the last drain has ended, it rings without waiting."""
    scene = Scene()
    scene.produced = 1
    scene.ring_times(10, lambda passed: setattr(scene, "position", int(passed > 2)))
    scene.now += 10
    scene.produced = 2
    assert scene.ring_times(5)[0] == 0


def test_what_is_coming_rings_once_for_both_stages() -> None:
    """A reader that was woken early takes what has come, without a second ring."""
    scene = Scene()
    scene.coming = 1

    def come_after_two_seconds(passed: float) -> None:
        if passed >= 2:
            scene.coming, scene.produced = 0, 5
        if passed >= 3:
            scene.position = 5

    assert scene.ring_times(60, come_after_two_seconds) == [0]


def test_what_never_comes_is_rung_for_once() -> None:
    """While the upstream stage stands still, no run starts each minute to find nothing."""
    scene = Scene(interval_seconds=30)
    scene.coming = 1
    assert scene.ring_times(200) == [0]


@pytest.mark.parametrize(("comes_at", "rings"), [(12, [0, 22, 52]), (20, [0, 20, 50]), (600, [0, 600, 630])])
def test_what_comes_late_is_rung_for_again(comes_at: float, rings: list[float]) -> None:
    """A reader that was woken early may still be waiting; if it has surely left, it is woken at once, and then as usual."""
    scene = Scene(interval_seconds=30)
    scene.coming = 1

    def come(passed: float) -> None:
        if passed >= comes_at:
            scene.coming, scene.produced = 0, 5

    assert scene.ring_times(comes_at + 45, come) == rings


def test_what_never_comes_rings_no_more_beside_what_does() -> None:
    """A partition that stands still upstream is rung for once, however much is read from the others."""
    scene = Scene()
    scene.coming = 1

    def a_message_a_minute_is_landed_and_read(passed: float) -> None:
        minute, second = divmod(passed, 60)
        if second == 30:
            scene.position = int(minute) + 1

    assert scene.ring_times(600, a_message_a_minute_is_landed_and_read) == [0]


def test_what_is_coming_does_not_ring_while_the_reader_is_at_work() -> None:
    """A lingering drain waits for it anyway; once the drain has ended, what comes next rings at once."""
    scene = Scene()
    scene.produced = 1
    scene.ring_times(2)
    scene.position, scene.coming = 1, 1
    assert scene.ring_times(6.5) == []
    scene.coming = 0
    scene.ring_times(10)
    scene.coming = 2
    assert scene.ring_times(5) == [0]


def test_only_a_stage_behind_another_can_be_rung_for_early() -> None:
    """Without an upstream group, nothing can be on its way."""
    with pytest.raises(ValueError, match="ring_early needs behind_group_id"):
        KafkaLagTrigger(kafka_conn_id="k", topic="t", group_id="land", ring_early=True)


def test_the_doorbell_is_remade_from_ids() -> None:
    """What Airflow stores of a doorbell holds no address and no secret, and two of a kind are one."""
    trigger = KafkaLagTrigger(
        kafka_conn_id="pipeline_kafka",
        topic="raw-tweets",
        group_id="land",
        behind_group_id="processing",
        ring_early=True,
    )
    path, kwargs = trigger.serialize()
    assert path == "airflow_provider_twitter.triggers.kafka_lag.KafkaLagTrigger"
    assert KafkaLagTrigger(**kwargs).serialize() == (path, kwargs)
    assert BaseEventTrigger.hash(path, kwargs) == BaseEventTrigger.hash(
        *KafkaLagTrigger(**kwargs).serialize()
    )
    with pytest.raises(ValueError, match="interval_seconds"):
        KafkaLagTrigger(**{**kwargs, "interval_seconds": 0})


def test_the_wait_for_a_reset_ends_at_the_reset() -> None:
    """The trigger fires once, when the reset is there, and at once when it is past."""
    reset_at = datetime.now(UTC) + timedelta(seconds=0.2)
    started = time.monotonic()
    [event] = asyncio.run(rings(RateLimitResetTrigger(reset_at), 1, 2))
    assert 0.15 < time.monotonic() - started < 1
    assert event.payload == {"reset_at": reset_at.isoformat()}
    assert len(asyncio.run(rings(RateLimitResetTrigger(reset_at), 1, 1))) == 1


def test_the_wait_for_a_reset_survives_being_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be recreated from what Airflow stores, and needs a time zone."""
    trigger = RateLimitResetTrigger(datetime(2026, 3, 1, tzinfo=UTC))
    _, kwargs = trigger.serialize()
    assert RateLimitResetTrigger(**kwargs).reset_at == trigger.reset_at
    with pytest.raises(ValueError, match="time zone"):
        RateLimitResetTrigger("2026-03-01T00:00:00")


def test_an_absurd_reset_is_not_slept_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset in the year 2100 is waited for no longer than X's window."""
    trigger = RateLimitResetTrigger(datetime(2100, 1, 1, tzinfo=UTC))
    naps: list[float] = []
    started = datetime(2026, 3, 1, tzinfo=UTC)

    class MovedClock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return started + timedelta(seconds=sum(naps))

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr("airflow_provider_twitter.triggers.rate_limit_reset.datetime", MovedClock)
    # the trigger's own name for it: others sleep in this process too
    monkeypatch.setattr(
        "airflow_provider_twitter.triggers.rate_limit_reset.asyncio", SimpleNamespace(sleep=nap)
    )

    async def wait() -> TriggerEvent:
        return await anext(trigger.run())

    asyncio.run(wait())
    assert sum(naps) == pytest.approx(16 * 60, abs=1)
