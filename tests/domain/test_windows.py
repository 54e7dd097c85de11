from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import windows as module
from domain.windows import (
    HOUR_MS,
    MINUTE_MS,
    TYPES,
    WINDOWS,
    Window,
    Windows,
    WindowsError,
)

Event = tuple[str, int]
START_MS = 1_700_000_000_000


class NaiveWindows:
    """Keeps every event and counts by the definition."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, event_type: str, timestamp_ms: int) -> None:
        self.events.append((event_type, timestamp_ms))

    def counts(self, now_ms: int) -> dict[str, dict[str, int]]:
        now_ms = max([now_ms, *(at_ms for _, at_ms in self.events)])
        return {
            window.name: dict(
                Counter(
                    name
                    for name, at_ms in self.events
                    if at_ms // window.bucket_ms > now_ms // window.bucket_ms - window.buckets
                )
            )
            for window in WINDOWS
        }


def windows_of(events: list[Event]) -> Windows:
    windows = Windows()
    for name, at_ms in events:
        windows.add(name, timestamp_ms=at_ms)
    return windows


@pytest.mark.parametrize(
    ("after_ms", "expected"),
    [
        (0, (3, 3, 3)),
        (4 * MINUTE_MS, (3, 3, 3)),
        (6 * MINUTE_MS, (0, 3, 3)),
        (59 * MINUTE_MS, (0, 3, 3)),
        (61 * MINUTE_MS, (0, 0, 3)),
        (23 * HOUR_MS, (0, 0, 3)),
        (25 * HOUR_MS, (0, 0, 0)),
    ],
)
def test_events_leave_one_window_after_the_other(
    after_ms: int, expected: tuple[int, int, int]
) -> None:
    windows = windows_of([("view", START_MS)] * 3)
    counts = windows.counts(START_MS + after_ms)
    assert tuple(counts[name].get("view", 0) for name in ("5m", "1h", "24h")) == expected


def test_types_are_counted_apart() -> None:
    windows = windows_of([("view", START_MS), ("click", START_MS), ("view", START_MS + 1)])
    assert windows.counts(START_MS)["5m"] == {"view": 2, "click": 1}


@pytest.mark.parametrize(
    ("behind_ms", "missed"),
    [(0, 0), (6 * MINUTE_MS, 1), (2 * HOUR_MS, 2), (25 * HOUR_MS, 3), (10**15, 3)],
)
def test_a_straggler_says_how_many_windows_it_missed(behind_ms: int, missed: int) -> None:
    windows = windows_of([("view", START_MS)])
    assert windows.add("click", timestamp_ms=START_MS - behind_ms) == missed
    held = [counts.get("click", 0) for counts in windows.counts(START_MS).values()]
    assert sum(held) == 3 - missed


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_is_so_many_buckets_and_not_one_more(window: Window) -> None:
    at_ms = START_MS // window.bucket_ms * window.bucket_ms
    for back, held in ((window.buckets - 1, 1), (window.buckets, 0)):
        windows = windows_of([("view", at_ms), ("click", at_ms - back * window.bucket_ms)])
        assert windows.counts(at_ms)[window.name].get("click", 0) == held


def test_a_reader_whose_clock_is_behind_is_answered_as_of_the_latest_event() -> None:
    events = [("click", START_MS), ("view", START_MS + 301_000)]
    assert windows_of(events).counts(START_MS)["5m"] == {"view": 1}


def test_a_full_count_goes_on_in_another_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNT_MAX", 3)
    windows = windows_of([("view", START_MS)] * 10)
    assert windows.counts(START_MS)["24h"] == {"view": 10}


# Gaps from nothing to days, backwards too, from times before 1970 to far ahead.
steps = st.one_of(
    st.integers(-20_000, 20_000),
    st.integers(-2 * HOUR_MS, 2 * HOUR_MS),
    st.integers(-30 * HOUR_MS, 60 * HOUR_MS),
)
histories = st.lists(st.tuples(st.sampled_from(TYPES), steps), max_size=60)
starts = st.integers(-(10**12), 10**13)


def _events(start_ms: int, history: list[tuple[str, int]]) -> list[Event]:
    at_ms, events = start_ms, []
    for name, step_ms in history:
        at_ms += step_ms
        events.append((name, at_ms))
    return events


@given(starts, histories, st.integers(0, 30 * HOUR_MS))
def test_counts_are_those_of_the_definition(
    start_ms: int, history: list[tuple[str, int]], later_ms: int
) -> None:
    windows, naive = Windows(), NaiveWindows()
    for name, at_ms in _events(start_ms, history):
        windows.add(name, timestamp_ms=at_ms)
        naive.add(name, at_ms)
        latest_ms = windows.latest_ms
        assert latest_ms is not None
        assert windows.counts(latest_ms) == naive.counts(latest_ms)
    now_ms = (windows.latest_ms or start_ms) + later_ms
    assert windows.counts(now_ms) == naive.counts(now_ms)


@given(starts, histories)
def test_bytes_hold_everything(start_ms: int, history: list[tuple[str, int]]) -> None:
    """A user whose state is stored and read after every event has the same counts and bytes."""
    kept, stored = Windows(), b""
    for name, at_ms in _events(start_ms, history):
        kept.add(name, timestamp_ms=at_ms)
        read = Windows.from_bytes(stored)
        read.add(name, timestamp_ms=at_ms)
        stored = read.to_bytes()
    assert stored == kept.to_bytes()
    assert Windows.from_bytes(stored).to_bytes() == stored


@given(starts, st.permutations([("view", -k * 40_000) for k in range(12)]))
def test_the_order_of_arrival_doesnt_matter(start_ms: int, shuffled: list[Event]) -> None:
    """Within the shortest window's reach nothing depends on who came first."""
    first = ("click", start_ms)
    late = [first, *((name, start_ms + at_ms) for name, at_ms in shuffled)]
    ordered = sorted(late, key=lambda event: event[1])
    assert windows_of(late).counts(start_ms)["1h"] == windows_of(ordered).counts(start_ms)["1h"]


def test_a_day_of_use_stays_small() -> None:
    events = [
        (("view", "click", "view", "add_to_cart")[n % 4], START_MS + n * 90_000) for n in range(960)
    ]
    sizes = [len(windows_of(events[:n]).to_bytes()) for n in (0, 1, 200, 960)]
    assert sizes[:2] == [0, 51]
    assert sizes[3] < 800
    assert all(small <= large for small, large in pairwise(sizes))


def test_another_format_is_named() -> None:
    stored = windows_of([("view", START_MS)]).to_bytes()
    with pytest.raises(WindowsError, match="counts of format 9; this version reads 1"):
        Windows.from_bytes(b"\x09" + stored[1:])


@pytest.mark.parametrize("size", [1, 8, 12, 20, 50])
def test_cut_bytes_are_named(size: int) -> None:
    stored = windows_of([("view", START_MS)]).to_bytes()
    with pytest.raises(WindowsError, match=f"{size} bytes"):
        Windows.from_bytes(stored[:size])
