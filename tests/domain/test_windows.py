import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import windows as module
from domain.windows import (
    HOUR_MS,
    MINUTE_MS,
    MOST_ITEMS,
    TYPES,
    WINDOWS,
    Activity,
    Window,
    Windows,
    WindowsError,
)

Event = tuple[str, int]
START_MS = 1_700_000_000_000
GOLDEN = Path(__file__).parent / "golden"


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
    assert sizes[:2] == [0, 45]
    assert sizes[3] < 800
    assert all(small <= large for small, large in pairwise(sizes))


def test_another_format_is_named() -> None:
    stored = windows_of([("view", START_MS)]).to_bytes()
    with pytest.raises(WindowsError, match="counts of format 9; this version reads 2 and older"):
        Windows.from_bytes(b"\x09" + stored[1:])


@pytest.mark.parametrize("size", [1, 8, 12, 20, 44])
def test_cut_bytes_are_named(size: int) -> None:
    stored = windows_of([("view", START_MS)]).to_bytes()
    with pytest.raises(WindowsError, match=f"{size} bytes"):
        Windows.from_bytes(stored[:size])


@dataclass(frozen=True)
class Act:
    """An event as windows take it."""

    name: str
    at_ms: int
    item_id: str | None = None
    category: int | None = None
    duration_ms: int | None = None
    spend: float = 0.0


@dataclass
class NaiveActivity:
    """Keeps every event and looks through all of them."""

    acts: list[Act] = field(default_factory=list)

    def within(self, window: Window, now_ms: int) -> Activity:
        first = now_ms // window.bucket_ms - window.buckets
        held = [act for act in self.acts if act.at_ms // window.bucket_ms > first]
        durations = [act.duration_ms for act in held if act.duration_ms is not None]
        return Activity(
            counts=dict(Counter(act.name for act in held)),
            categories=self.categories(held),
            items=len({act.item_id for act in held if act.item_id is not None}),
            items_exact=True,
            duration_ms=sum(durations),
            durations=len(durations),
            spend=sum(round(act.spend * 10_000) for act in held) / 10_000,
        )

    def categories(self, held: list[Act]) -> dict[int, int]:
        """Of each item that which it was last said to be, in the order of five seconds."""
        last = {
            act.item_id: act.category
            for act in sorted(held, key=lambda act: act.at_ms // 5_000)
            if act.item_id is not None
        }
        return dict(Counter(category for category in last.values() if category is not None))

    def activity(self, now_ms: int) -> dict[str, Activity]:
        return {window.name: self.within(window, now_ms) for window in WINDOWS}

    def since_last_ms(self, now_ms: int) -> dict[str, int]:
        last: dict[str, int] = {}
        for act in self.acts:
            last[act.name] = max(last.get(act.name, act.at_ms), act.at_ms)
        latest_ms = max(last.values(), default=0)
        return {name: now_ms - at for name, at in last.items() if latest_ms - at < 2**32}


def take(windows: Windows, act: Act) -> int:
    return windows.add(
        act.name,
        timestamp_ms=act.at_ms,
        item_id=act.item_id,
        category=act.category,
        duration_ms=act.duration_ms,
        spend=act.spend,
    )


acts = st.lists(
    st.tuples(
        st.sampled_from(["view", "click", "purchase", "dwell", "search"]),
        steps,
        st.none() | st.sampled_from([f"i{n}" for n in range(40)]),
        st.none() | st.integers(0, 30),
        st.none() | st.integers(0, 10**7),
        st.sampled_from([0.0, 0.0, 0.01, 19.99, 1234.5]),
    ),
    max_size=60,
)


def acts_of(start_ms: int, history: list[tuple[object, ...]]) -> Iterator[Act]:
    at_ms = start_ms
    for name, step_ms, *rest in history:
        at_ms += step_ms  # type: ignore[operator]
        yield Act(name, at_ms, *rest)  # type: ignore[arg-type]


@settings(max_examples=300)
@given(starts, acts, st.integers(0, 30 * HOUR_MS))
def test_all_that_a_window_tells_is_that_of_a_recount(
    start_ms: int, history: list[tuple[object, ...]], later_ms: int
) -> None:
    """Stored and read after every event, out of order too, and asked at a later time."""
    stored, naive = b"", NaiveActivity()
    for act in acts_of(start_ms, history):
        windows = Windows.from_bytes(stored)
        take(windows, act)
        naive.acts.append(act)
        stored = windows.to_bytes()
    windows = Windows.from_bytes(stored)
    latest_ms = start_ms if windows.latest_ms is None else windows.latest_ms
    for now_ms in (latest_ms, latest_ms + later_ms):
        assert windows.activity(now_ms) == naive.activity(now_ms)
        assert windows.since_last_ms(now_ms) == naive.since_last_ms(now_ms)


def test_thousands_of_events_of_a_day_are_those_of_a_recount() -> None:
    """One long stream: bursts, pauses, and a third of the events out of order."""
    rng, windows, naive, at_ms = random.Random(5), Windows(), NaiveActivity(), START_MS
    for _ in range(4_000):
        at_ms += rng.choice((40, 3_000, 20_000, 90_000))
        late_ms = rng.choice((0, 0, rng.randrange(4 * HOUR_MS)))
        act = Act(
            rng.choice(TYPES),
            at_ms - late_ms,
            item_id=f"i{rng.randrange(90)}",
            category=rng.randrange(31),
            duration_ms=rng.choice((None, rng.randrange(60_000))),
            spend=rng.choice((0.0, rng.randrange(10_000) / 100)),
        )
        take(windows, act)
        naive.acts.append(act)
    assert windows.latest_ms is not None
    assert windows.activity(windows.latest_ms) == naive.activity(windows.latest_ms)
    assert Windows.from_bytes(windows.to_bytes()).activity(at_ms + 1) == naive.activity(at_ms + 1)


@settings(max_examples=30)
@given(starts, st.lists(st.tuples(st.integers(0, 300), st.integers(-60_000, 90_000)), max_size=400))
def test_more_items_than_are_kept_give_a_lower_bound_that_says_so(
    start_ms: int, history: list[tuple[int, int]]
) -> None:
    stored, naive, at_ms = b"", NaiveActivity(), start_ms
    for item, step_ms in history:
        at_ms += step_ms
        act = Act("view", at_ms, item_id=f"i{item}")
        windows = Windows.from_bytes(stored)
        take(windows, act)
        naive.acts.append(act)
        stored = windows.to_bytes()
    windows = Windows.from_bytes(stored)
    now_ms = at_ms if windows.latest_ms is None else windows.latest_ms
    for name, true in naive.activity(now_ms).items():
        told = windows.activity(now_ms)[name]
        assert told.items == true.items if told.items_exact else told.items <= true.items
        assert told.items_exact or true.items >= MOST_ITEMS


def test_a_busy_day_counts_a_hundred_items_exactly_and_more_at_least() -> None:
    windows = Windows()
    for n in range(MOST_ITEMS):
        take(windows, Act("view", START_MS + n * 60_000, item_id=f"i{n}"))
    day = windows.activity(START_MS + MOST_ITEMS * 60_000)["24h"]
    assert (day.items, day.items_exact) == (MOST_ITEMS, True)
    take(windows, Act("view", START_MS + MOST_ITEMS * 60_000, item_id="one more"))
    told = windows.activity(START_MS + MOST_ITEMS * 60_000)
    assert (told["24h"].items, told["24h"].items_exact) == (MOST_ITEMS, False)
    assert (told["1h"].items, told["1h"].items_exact) == (60, True)


def test_rates_and_means_are_those_of_the_specification() -> None:
    windows = Windows()
    for n in range(4):
        take(windows, Act("view", START_MS + n, item_id="i", duration_ms=1_000 * n))
    take(windows, Act("click", START_MS + 5, item_id="i"))
    take(windows, Act("purchase", START_MS + 6, item_id="i", spend=2 * 9.5))
    hour = windows.activity(START_MS + 7)["1h"]
    assert (hour.ctr, hour.conversion_rate, hour.mean_duration_ms) == (0.25, 1.0, 1_500.0)
    assert (hour.spend, hour.events, hour.items) == (19.0, 6, 1)
    nothing = Windows().activity(0)["24h"]
    assert (nothing.ctr, nothing.conversion_rate, nothing.mean_duration_ms) == (0, 0, 0)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (Act("dwell", START_MS, duration_ms=10**15), ("duration_ms", 2**40 - 1)),
        (Act("purchase", START_MS, spend=1e300), ("spend", (2**55 - 1) / 10_000)),
    ],
)
def test_an_absurd_amount_stays_at_the_most_and_spoils_nothing_else(
    act: Act, told: tuple[str, float]
) -> None:
    windows = Windows()
    for _ in range(3):
        take(windows, act)
    take(windows, Act("view", START_MS - 6_000, duration_ms=7))
    day = Windows.from_bytes(windows.to_bytes()).activity(START_MS)["5m"]
    assert day.counts == {act.name: 3, "view": 1}
    assert getattr(day, told[0]) - told[1] == (7 if told[0] == "duration_ms" else 0)


def test_counts_of_the_first_format_are_read() -> None:
    """Of 40 events, 131 s apart, of eight types in turn, as a state of version 1 holds them."""
    stored = (GOLDEN / "windows_v1.bin").read_bytes()
    assert stored[0] == 1
    windows = Windows.from_bytes(stored)
    kinds = ("view", "click", "view", "add_to_cart", "view", "purchase", "dismiss", "search")
    events = [(kinds[n % 8], START_MS + n * 131_000) for n in range(40)]
    assert windows.counts(events[-1][1]) == windows_of(events).counts(events[-1][1])
    take(windows, Act("view", events[-1][1] + 1, item_id="i"))
    assert Windows.from_bytes(windows.to_bytes()).counts(events[-1][1])["24h"]["view"] == 16
