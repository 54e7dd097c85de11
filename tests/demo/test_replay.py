from concurrent.futures import Future
from itertools import pairwise

import pytest

from demo.purchases import Purchase
from demo.replay import (
    DAY_MS,
    Plan,
    Rebase,
    ReplayError,
    Scheduled,
    Sender,
    chosen,
    event_ids,
    refuse_too_old,
    schedule,
)
from domain.events import EventLimits, refusal
from schemas.types import UserEvent

NOW_MS = 1_800_000_000_000
THEN_MS = 1_291_192_440_000
MINUTE_MS = 60_000


def bought(minute: int, *, user: str = "u1", order: str = "o1", item: str = "i1") -> Purchase:
    return Purchase(
        timestamp_ms=THEN_MS + minute * MINUTE_MS,
        user_id=user,
        order_id=order,
        item_id=item,
        quantity=2,
        price=1.5,
        country="GB",
        title="RED MUG",
    )


HISTORY = [
    bought(0),
    bought(0, item="i2"),
    bought(60, user="u2", order="o2"),
    bought(180, user="u3", order="o3"),
    bought(240, order="o4"),
]


def plan(speed: float, rebase: Rebase) -> Plan:
    return Plan(speed=speed, rebase=rebase, start_ms=NOW_MS)


def times(scheduled: list[Scheduled]) -> list[tuple[float, int]]:
    return [(one.due_s, one.event.timestamp_ms) for one in scheduled]


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_the_last_event_is_now_and_the_others_as_long_before_it_as_they_were() -> None:
    found = times(list(schedule(HISTORY, plan(0, Rebase.END))))

    assert found == [
        (0.0, NOW_MS - 240 * MINUTE_MS),
        (0.0, NOW_MS - 240 * MINUTE_MS),
        (0.0, NOW_MS - 180 * MINUTE_MS),
        (0.0, NOW_MS - 60 * MINUTE_MS),
        (0.0, NOW_MS),
    ]


def test_live_events_happen_when_they_are_sent() -> None:
    found = times(list(schedule(HISTORY, plan(3600, Rebase.LIVE))))

    assert found == [
        (0.0, NOW_MS),
        (0.0, NOW_MS),
        (1.0, NOW_MS + 1000),
        (3.0, NOW_MS + 3000),
        (4.0, NOW_MS + 4000),
    ]


def test_recorded_times_stay_if_wanted() -> None:
    found = list(schedule(HISTORY, plan(60, Rebase.NONE)))

    assert found[-1].event.timestamp_ms == THEN_MS + 240 * MINUTE_MS
    assert found[-1].due_s == 240.0


def test_an_event_says_what_the_sale_says() -> None:
    (only,) = schedule(HISTORY[:1], plan(0, Rebase.END))

    assert only.event == UserEvent(
        event_id="shop:o1:i1",
        user_id="u1",
        event_type="purchase",
        timestamp_ms=NOW_MS,
        item_id="i1",
        session_id="o1",
        quantity=2,
        price=1.5,
        country="GB",
    )


def test_the_stack_accepts_what_is_replayed() -> None:
    for one in schedule(HISTORY, plan(0, Rebase.END)):
        key = one.event.user_id.encode()
        assert refusal(one.event, key=key, log_time_ms=NOW_MS, limits=EventLimits()) is None


def test_the_same_history_has_the_same_ids_and_another_run_has_others() -> None:
    first = list(event_ids(HISTORY, "shop"))

    assert first == list(event_ids(HISTORY, "shop"))
    assert len(set(first)) == len(HISTORY)
    assert not set(first) & set(event_ids(HISTORY, "again"))


def test_an_item_twice_in_an_order_is_two_events() -> None:
    assert list(event_ids([HISTORY[0], HISTORY[0]], "r")) == ["r:o1:i1", "r:o1:i1:2"]


def test_an_empty_history_is_no_events() -> None:
    assert list(schedule([], plan(1, Rebase.LIVE))) == []


def test_some_users_and_some_events_are_chosen_in_their_order() -> None:
    assert [p.order_id for p in chosen(HISTORY, users=2)] == ["o1", "o1", "o2", "o4"]
    assert [p.order_id for p in chosen(HISTORY, users=2, limit=3)] == ["o1", "o1", "o2"]
    assert chosen(HISTORY) == HISTORY


def test_events_that_would_be_refused_for_their_age_are_refused_here() -> None:
    days = 20.0
    long_ago = [bought(0), bought(30 * 24 * 60)]

    with pytest.raises(ReplayError, match=r"30 days old and events\.max_age_days is 20; raise"):
        refuse_too_old(long_ago, plan(0, Rebase.END), max_age_days=days)
    with pytest.raises(ReplayError, match="days old"):
        refuse_too_old(HISTORY, plan(0, Rebase.NONE), max_age_days=days)
    refuse_too_old(long_ago, plan(1, Rebase.LIVE), max_age_days=days)
    refuse_too_old(HISTORY, plan(0, Rebase.END), max_age_days=days)
    refuse_too_old([], plan(0, Rebase.END), max_age_days=days)
    assert days * DAY_MS < NOW_MS - THEN_MS


def done() -> "Future[object]":
    promise: Future[object] = Future()
    promise.set_result(None)
    return promise


def test_events_are_sent_when_they_are_due() -> None:
    time = FakeTime()
    sent_at: list[float] = []

    def send(event: UserEvent) -> "Future[object]":
        sent_at.append(time.now_s - 100.0)
        return done()

    sender = Sender(send=send, clock=time.clock, sleep=time.sleep)
    sent = list(sender.run(schedule(HISTORY, plan(3600, Rebase.LIVE))))

    assert sent_at == pytest.approx([0.0, 0.0, 1.0, 3.0, 4.0])
    assert [event.event_id for event in sent] == list(event_ids(HISTORY, "shop"))
    assert (sender.sent, sender.confirmed) == (5, 5)


def test_a_sender_that_is_late_catches_up_without_waiting() -> None:
    time = FakeTime()
    sent_at: list[float] = []

    def slow(event: UserEvent) -> "Future[object]":
        sent_at.append(time.now_s - 100.0)
        time.now_s += 2.5
        return done()

    list(
        Sender(send=slow, clock=time.clock, sleep=time.sleep).run(
            schedule(HISTORY, plan(3600, Rebase.LIVE))
        )
    )

    assert sent_at == pytest.approx([0.0, 2.5, 5.0, 7.5, 10.0])


def test_as_fast_as_possible_never_waits() -> None:
    time = FakeTime()

    def no_sleep(seconds: float) -> None:
        pytest.fail(f"waited {seconds} s")

    sender = Sender(send=lambda _: done(), clock=time.clock, sleep=no_sleep)
    assert len(list(sender.run(schedule(HISTORY, plan(0, Rebase.END))))) == 5


class Waiting:
    """Promises that are kept when asked for."""

    def __init__(self) -> None:
        self.now = 0
        self.highest = 0

    def send(self, _: UserEvent) -> "Waiting":
        self.now += 1
        self.highest = max(self.highest, self.now)
        return self

    def result(self) -> object:
        self.now -= 1
        return None


def test_no_more_than_allowed_is_unconfirmed() -> None:
    time, waiting = FakeTime(), Waiting()

    sender = Sender(send=waiting.send, clock=time.clock, sleep=time.sleep, in_flight=2)
    list(sender.run(schedule(HISTORY, plan(0, Rebase.END))))

    assert (waiting.highest, waiting.now) == (3, 0)


def test_a_failure_ends_the_replay_and_what_is_confirmed_is_known() -> None:
    time = FakeTime()
    promises = [done(), done(), Future[object]()]
    promises[2].set_exception(RuntimeError("the log is away"))

    sender = Sender(send=lambda _: promises.pop(0), clock=time.clock, sleep=time.sleep, in_flight=2)
    with pytest.raises(RuntimeError, match="the log is away"):
        list(sender.run(schedule(HISTORY[:3], plan(0, Rebase.END))))

    assert (sender.sent, sender.confirmed) == (3, 2)


def test_stopping_early_waits_for_what_was_sent() -> None:
    time = FakeTime()
    sender = Sender(send=lambda _: done(), clock=time.clock, sleep=time.sleep)
    stream = sender.run(schedule(HISTORY, plan(0, Rebase.END)))
    next(stream)
    next(stream)

    sender.settle()

    assert (sender.sent, sender.confirmed) == (2, 2)


def test_due_times_never_go_back() -> None:
    due = [one.due_s for one in schedule(HISTORY, plan(7, Rebase.LIVE))]

    assert all(first <= second for first, second in pairwise(due))
