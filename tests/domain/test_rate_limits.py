from hypothesis import given
from hypothesis import strategies as st

from domain.rate_limits import Usage, at, in_window, room, spent
from schemas.rate_limits import Limit

TEN = Limit(10, 10)


def passed(times: list[int], limit: Limit) -> list[int]:
    """The times of those that are let through."""
    usage: Usage | None = None
    through = []
    for now_ms in times:
        usage = at(usage, limit, now_ms)
        if room(usage, limit).left >= 1:
            usage = spent(usage)
            through.append(now_ms)
    return through


def test_a_burst_is_let_through_and_no_more() -> None:
    assert len(passed([5_000] * 50, TEN)) == 10


def test_a_steady_flow_at_the_limit_is_never_refused() -> None:
    for rate in (1, 10, 50, 100):
        times = [at * 1_000 // rate for at in range(rate * 5)]
        assert passed(times, Limit(rate, rate)) == times


def test_what_was_saved_up_is_the_burst_at_most() -> None:
    limit = Limit(10, 20)
    assert len(passed([0] * 100, limit)) == 20
    assert len(passed([*[0] * 100, *[60_000] * 100], limit)) == 40


def test_the_bucket_keeps_the_mean_where_a_burst_is_allowed() -> None:
    times = passed(list(range(0, 10_000, 10)), Limit(10, 20))
    assert len(times) == 20 + 99


def test_the_window_leaves_as_its_tenths_do() -> None:
    usage = Usage(10, 950, {9: 10})
    assert [in_window(at(usage, TEN, now)) for now in (950, 1_899, 1_900, 1_950, 1_999, 2_000)] == [
        *(10, 10, 9, 4, 0, 0)
    ]


def test_a_burst_at_the_end_of_a_second_leaves_no_room_at_the_start_of_the_next() -> None:
    """Where seconds are counted one by one, twenty would pass here within 20 ms."""
    assert len(passed([990] * 10 + [1_010] * 10, TEN)) == 10


def test_who_is_refused_learns_when_to_come_back() -> None:
    usage = at(None, TEN, 0)
    for _ in range(10):
        usage = spent(usage)
    assert room(usage, TEN).wait_ms == 1_000
    assert room(usage, TEN).full_ms == 1_000
    later = at(usage, TEN, 500)
    assert (room(later, TEN).left, room(later, TEN).wait_ms) == (0, 500)
    assert room(at(usage, TEN, 1_000), TEN).left == 1


def test_a_clock_that_goes_back_gives_nothing() -> None:
    usage = at(Usage(0, 1_000, {9: 10}), TEN, 0)
    assert (usage.at_ms, usage.tokens, in_window(usage)) == (1_000, 0, 10)


gaps = st.lists(st.integers(0, 400), min_size=1, max_size=120)


@given(gaps=gaps, rate=st.integers(1, 20), extra=st.integers(0, 20))
def test_no_second_and_no_span_has_more_than_allowed(
    gaps: list[int], rate: int, extra: int
) -> None:
    limit = Limit(rate, rate + extra)
    times = [sum(gaps[: at + 1]) for at in range(len(gaps))]
    through = passed(times, limit)
    for first, start in enumerate(through):
        for last, end in enumerate(through[first:], start=1):
            assert last <= limit.burst + (end - start) * limit.rate / 1_000 + 1e-6
        tenth = max(sum(t // 100 == at for t in through) for at in {t // 100 for t in through})
        second = sum(start <= t < start + 1_000 for t in through)
        assert second <= limit.burst + tenth


@given(gaps=gaps, rate=st.integers(1, 20))
def test_who_waits_as_long_as_told_is_let_in(gaps: list[int], rate: int) -> None:
    limit, now_ms = Limit(rate, rate), 0
    usage = at(None, limit, 0)
    for gap in gaps:
        now_ms += gap
        usage = at(usage, limit, now_ms)
        while room(usage, limit).left < 1:
            wait_ms = room(usage, limit).wait_ms
            assert 0 < wait_ms <= 1_000
            now_ms += int(wait_ms) + 1
            usage = at(usage, limit, now_ms)
        usage = spent(usage)
