import asyncio
import math
import random
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.freshness import (
    EDGES_MS,
    BackgroundLoad,
    Prober,
    histogram,
    marked_event,
    percentile,
    summary,
)
from schemas.types import UserEvent

EVENT = marked_event(
    user_id="u", event_id="e", item_id="i", event_type="click", timestamp_ms=1_800_000_000_000
)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0), (0.0, 1.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    values = [float(n) for n in range(1, 101)]
    random.Random(7).shuffle(values)

    assert percentile(values, share) == expected


def test_percentile_of_few_is_the_worst_of_them() -> None:
    assert percentile([3.0, 9.0, 1.0], 0.99) == 9.0
    assert percentile([3.0], 0.5) == 3.0
    assert math.isnan(percentile([], 0.5))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_percentile_leaves_the_promised_share_below_it(values: list[float], share: float) -> None:
    found = percentile(values, share)

    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_what_was_never_seen_is_slower_than_all_else() -> None:
    found = summary([10.0] * 98 + [None, 20.0])

    assert (found.probes, found.never) == (100, 1)
    assert (found.p50_ms, found.p99_ms, found.max_ms) == (10.0, 20.0, math.inf)
    assert summary([10.0] * 98 + [None, None]).p99_ms == math.inf
    assert summary([None]).p50_ms == math.inf


def test_histogram_counts_each_time_once() -> None:
    lines = histogram([5.0, 10.0, 24.9, 25.0, 12_000.0, None])

    assert len(lines) == len(EDGES_MS) + 2
    counts = {line[:14].strip(): int(line.rsplit(maxsplit=1)[1]) for line in lines}
    assert {label: n for label, n in counts.items() if n} == {
        "< 10 ms": 1,
        "10-25 ms": 2,
        "25-50 ms": 1,
        ">= 10000 ms": 1,
        "never": 1,
    }


def test_histogram_shows_only_ranges_in_use() -> None:
    assert [line[:14].strip() for line in histogram([60.0, 120.0])] == ["50-100 ms", "100-150 ms"]
    assert histogram([]) == []


def done() -> "Future[object]":
    promise: Future[object] = Future()
    promise.set_result(None)
    return promise


def failed() -> "Future[object]":
    promise: Future[object] = Future()
    promise.set_exception(RuntimeError("the log is away"))
    return promise


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


class Versions:
    """Versions that grow as time goes: state and vector, each after its seconds."""

    def __init__(self, time: FakeTime, *, state_s: float, vector_s: float) -> None:
        self._time = time
        self._after = (state_s, vector_s)
        self.asked = 0

    async def versions(self, user_id: str) -> tuple[int, int]:
        assert user_id == "u"
        self.asked += 1
        passed_s = self._time.now_s - 100.0
        state, vector = (4 + (passed_s >= after) for after in self._after)
        return state, vector


def prober(
    answers: Versions,
    time: FakeTime,
    *,
    store: Versions | None = None,
    send: Callable[[UserEvent], "Future[object]"] = lambda _: done(),
) -> Prober:
    return Prober(
        send=send,
        answers=answers,
        store=store or Versions(time, state_s=0, vector_s=0),
        poll_s=0.01,
        timeout_s=5.0,
        clock=time.clock,
        sleep=time.sleep,
    )


async def test_a_probe_is_visible_when_state_and_vector_have_grown() -> None:
    time = FakeTime()
    seen = await prober(Versions(time, state_s=0.2, vector_s=0.3), time).probe(EVENT)

    assert seen.state_ms == pytest.approx(200, rel=0.2)
    assert seen.answer_ms == pytest.approx(300, rel=0.2)
    assert seen.log_ms is not None


async def test_a_grown_vector_alone_is_not_visible() -> None:
    time = FakeTime()
    seen = await prober(Versions(time, state_s=math.inf, vector_s=0.1), time).probe(EVENT)

    assert (seen.state_ms, seen.answer_ms) == (None, None)


async def test_a_state_without_its_vector_is_told_apart() -> None:
    time = FakeTime()
    seen = await prober(Versions(time, state_s=0.1, vector_s=math.inf), time).probe(EVENT)

    assert seen.state_ms is not None
    assert seen.answer_ms is None


async def test_the_store_is_looked_at_too() -> None:
    time = FakeTime()
    store = Versions(time, state_s=0.1, vector_s=0.15)
    slow = Versions(time, state_s=1.0, vector_s=1.0)
    seen = await prober(slow, time, store=store).probe(EVENT)

    assert seen.store_ms is not None
    assert seen.answer_ms is not None
    assert 150 <= seen.store_ms < seen.answer_ms


async def test_looks_become_rarer_so_that_a_slow_service_is_not_slowed_down() -> None:
    time = FakeTime()
    never = Versions(time, state_s=math.inf, vector_s=math.inf)
    await prober(never, time, store=Versions(time, state_s=0, vector_s=0)).probe(EVENT)

    assert never.asked < 50


async def test_an_event_that_the_log_refuses_has_no_log_time() -> None:
    time = FakeTime()
    versions = Versions(time, state_s=0.1, vector_s=0.1)
    seen = await prober(versions, time, send=lambda _: failed()).probe(EVENT)

    assert seen.log_ms is None


def run_load(
    rate: float, seconds: float, send: Callable[[UserEvent], "Future[object]"]
) -> BackgroundLoad:
    load = BackgroundLoad(rate=rate, users=3, item_ids=("i1", "i2"), run="r", send=send)
    load.start()
    time.sleep(seconds)
    return load


def test_the_load_keeps_its_rate() -> None:
    sent: list[UserEvent] = []

    def send(event: UserEvent) -> "Future[object]":
        sent.append(event)
        return done()

    load = run_load(200, 0.5, send).stop()

    assert load.sent == len(sent) == pytest.approx(200 * load.seconds, abs=20)
    assert load.failed == 0
    assert load.rate == pytest.approx(200, rel=0.2)
    assert {event.user_id for event in sent} == {"r-load-0", "r-load-1", "r-load-2"}
    assert len({event.event_id for event in sent}) == len(sent)


def test_the_load_counts_what_was_not_taken() -> None:
    load = run_load(100, 0.2, lambda _: failed()).stop()

    assert load.failed == load.sent > 0


def test_no_load_is_no_events() -> None:
    load = run_load(0, 0.05, lambda _: failed()).stop()

    assert (load.sent, load.rate) == (0, 0.0)
