"""Rewards follow from log times, whichever of the two topics is read first."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.attribution import (
    FORMAT_VERSION,
    READ_AHEAD,
    AttributionRules,
    Showings,
    ShowingsError,
)
from domain.rewards import reward_of
from schemas.types import BanditUpdate, EventType, Impression, ShownItem, UserEvent

GOLDEN = Path(__file__).parent / "golden"
START_MS = 1_700_000_000_000
WINDOW_MS = 1_000
RULES = AttributionRules(window_ms=WINDOW_MS, pending_requests=8)


def answer(request_id: str, *items: str, at_ms: int = START_MS, **more: Any) -> Impression:
    shown = tuple(
        ShownItem(item_id=item, rank=rank, score=0.5, source="content", propensity=0.75)
        for rank, item in enumerate(items, start=1)
    )
    defaults: dict[str, Any] = {"context_segment": "mobile_us_evening", "items": shown}
    return Impression(request_id=request_id, user_id="u1", timestamp_ms=at_ms, **(defaults | more))


def event(
    event_id: str, kind: EventType, item_id: str | None, request_id: str | None = None, **more: Any
) -> UserEvent:
    return UserEvent(
        event_id=event_id,
        user_id="u1",
        event_type=kind,
        timestamp_ms=START_MS + 77,
        item_id=item_id,
        request_id=request_id,
        **more,
    )


def brief(updates: Sequence[BanditUpdate]) -> list[tuple[str, str | None, float, float | None]]:
    return [(u.item_id, u.request_id, u.reward, u.previous_reward) for u in updates]


def test_a_click_is_a_reward_with_all_that_is_known_of_the_showing() -> None:
    showings = Showings()
    features = (1.0, -0.5, 0.1)
    explored = ShownItem(
        item_id="i2", rank=2, score=0.5, source="exploration", propensity=0.25, sampled_value=0.7
    )
    shown = answer("r1", "i1", context_features=features)
    assert showings.show(replace(shown, items=(*shown.items, explored)), log_time_ms=10) == []
    (update,) = showings.react(event("e1", "click", "i2", "r1"), log_time_ms=40)
    assert update.context_features == pytest.approx(features, abs=1e-3)
    assert replace(update, context_features=()) == BanditUpdate(
        update_id="e1:i2",
        item_id="i2",
        context_segment="mobile_us_evening",
        reward=0.3,
        timestamp_ms=START_MS,
        user_id="u1",
        request_id="r1",
        position=2,
        propensity=0.25,
        action="click",
        explored=True,
        log_time_ms=40,
    )


def test_a_stronger_reaction_replaces_a_weaker_one_and_never_the_other_way_round() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1"), log_time_ms=0)
    kinds: tuple[EventType, ...] = ("dismiss", "click", "skip", "click", "purchase", "add_to_cart")
    told = [
        brief(showings.react(event(f"e{n}", kind, "i1", "r1"), log_time_ms=n))
        for n, kind in enumerate(kinds)
    ]
    assert told == [
        [("i1", "r1", 0.0, None)],
        [("i1", "r1", 0.3, 0.0)],
        [],
        [],
        [("i1", "r1", 1.0, 0.3)],
        [],
    ]
    assert showings.expire(10**9) == []


def test_what_nobody_reacts_to_is_told_when_its_window_is_over() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1", "i2"), log_time_ms=500, rules=RULES)
    showings.react(event("e1", "like", "i2", "r1"), log_time_ms=700, rules=RULES)
    assert showings.due_ms(rules=RULES) == 1_500
    assert showings.expire(1_499, rules=RULES) == []
    (update,) = showings.expire(9_999, rules=RULES)
    assert update.update_id == "r1:i1"
    assert (update.reward, update.action, update.previous_reward) == (0.0, None, None)
    assert (update.log_time_ms, update.timestamp_ms) == (1_500, START_MS)
    assert showings.due_ms() is None
    assert showings.to_bytes() == b""


def test_a_reaction_that_is_read_before_its_impression_waits_for_it() -> None:
    showings = Showings()
    assert showings.react(event("e1", "click", "i1", "r1"), log_time_ms=90, rules=RULES) == []
    assert showings.react(event("e2", "purchase", "i1", "r1"), log_time_ms=95, rules=RULES) == []
    assert showings.due_ms(rules=RULES) == 90 + WINDOW_MS
    told = showings.show(answer("r1", "i1"), log_time_ms=80, rules=RULES)
    assert brief(told) == [("i1", "r1", 0.3, None), ("i1", "r1", 1.0, 0.3)]


@pytest.mark.parametrize(("log_time_ms", "credited"), [(1_100, 1), (1_101, 0)])
def test_an_answer_may_stand_later_in_the_log_than_its_reaction_within_the_window(
    log_time_ms: int, credited: int
) -> None:
    showings = Showings()
    showings.react(event("e1", "click", "i1", "r1"), log_time_ms=100, rules=RULES)
    told = showings.show(answer("r1", "i1"), log_time_ms=log_time_ms, rules=RULES)
    assert len(told) == credited


@pytest.mark.parametrize(("log_time_ms", "credited"), [(1_000, 1), (1_001, 0)])
def test_a_reaction_counts_up_to_the_end_of_the_window(log_time_ms: int, credited: int) -> None:
    showings = Showings()
    showings.show(answer("r1", "i1"), log_time_ms=0, rules=RULES)
    told = showings.react(event("e1", "click", "i1", "r1"), log_time_ms=log_time_ms, rules=RULES)
    assert len(told) == credited
    assert showings.drain_counts() == ({} if credited else {"reactions_unattributed": 1})


def test_a_reaction_to_a_request_that_never_comes_is_let_go() -> None:
    showings = Showings()
    showings.react(event("e1", "click", "i1", "r9"), log_time_ms=100, rules=RULES)
    assert showings.expire(1_099, rules=RULES) == []
    assert showings.due_ms(rules=RULES) == 1_100
    assert showings.expire(1_100, rules=RULES) == []
    assert showings.due_ms(rules=RULES) is None
    assert showings.drain_counts() == {"reactions_unattributed": 1}


def test_a_reaction_without_a_request_belongs_to_the_latest_showing_of_its_item() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1", "i2"), log_time_ms=0, rules=RULES)
    assert showings.react(event("e1", "click", "i1"), log_time_ms=50, rules=RULES) == []
    assert showings.due_ms(rules=RULES) == 50
    showings.show(answer("r2", "i1"), log_time_ms=40, rules=RULES)
    showings.show(answer("r3", "i1"), log_time_ms=51, rules=RULES)
    showings.show(answer("r4", "i3"), log_time_ms=50, rules=RULES)
    assert showings.expire(49, rules=RULES) == []
    assert brief(showings.expire(60, rules=RULES)) == [("i1", "r2", 0.3, None)]


def test_later_reactions_to_an_item_wait_behind_one_whose_showing_is_not_known() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1", "i2"), log_time_ms=0, rules=RULES)
    showings.react(event("e1", "click", "i1"), log_time_ms=50, rules=RULES)
    assert showings.react(event("e2", "purchase", "i1", "r1"), log_time_ms=60, rules=RULES) == []
    other = showings.react(event("e3", "purchase", "i2", "r1"), log_time_ms=61, rules=RULES)
    assert brief(other) == [("i2", "r1", 1.0, None)]
    told = showings.expire(50, rules=RULES)
    assert brief(told) == [("i1", "r1", 0.3, None), ("i1", "r1", 1.0, 0.3)]


def test_an_answer_that_is_told_again_changes_nothing_also_once_it_is_closed() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1"), log_time_ms=0, rules=RULES)
    showings.show(answer("r2", "i1"), log_time_ms=500, rules=RULES)
    assert showings.show(answer("r1", "i1", "i5"), log_time_ms=600, rules=RULES) == []
    assert len(showings.expire(1_400, rules=RULES)) == 1
    assert showings.show(answer("r1", "i1"), log_time_ms=700, rules=RULES) == []
    assert showings.drain_counts() == {"impressions_repeated": 2}
    assert len(showings.expire(9_999, rules=RULES)) == 1


def test_an_item_that_the_answer_did_not_show_gets_nothing() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1"), log_time_ms=0)
    assert showings.react(event("e1", "click", "i7", "r1"), log_time_ms=1) == []
    assert showings.drain_counts() == {"reactions_unattributed": 1}


def test_an_item_that_is_shown_twice_counts_once_at_its_first_place() -> None:
    showings = Showings()
    showings.show(answer("r1", "i1", "i2", "i1"), log_time_ms=0, rules=RULES)
    told = showings.expire(2_000, rules=RULES)
    assert [(update.item_id, update.position) for update in told] == [("i1", 1), ("i2", 2)]


def test_an_answer_without_items_or_segment() -> None:
    showings = Showings()
    showings.show(answer("r0"), log_time_ms=0)
    assert showings.due_ms() is None
    showings.show(answer("r1", "i1", context_segment=""), log_time_ms=0)
    (update,) = showings.react(event("e1", "click", "i1", "r1"), log_time_ms=1)
    assert (update.context_segment, update.context_features) == ("all", ())


def test_the_ninth_answer_closes_the_first_at_its_own_log_time() -> None:
    showings = Showings()
    for n in range(9):
        assert showings.show(answer(f"r{n}", f"i{n}"), log_time_ms=10 * n, rules=RULES) == []
    assert showings.due_ms(rules=RULES) == 80
    in_time = showings.react(event("e1", "click", "i0", "r0"), log_time_ms=80, rules=RULES)
    assert brief(in_time) == [("i0", "r0", 0.3, None)]
    late = showings.react(event("e2", "purchase", "i0", "r0"), log_time_ms=81, rules=RULES)
    assert late == []
    assert showings.expire(80, rules=RULES) == []
    assert showings.drain_counts() == {"showings_displaced": 1, "reactions_unattributed": 1}
    assert showings.due_ms(rules=RULES) == 10 + WINDOW_MS


def test_fewer_pending_answers_than_before_close_all_that_are_too_many() -> None:
    showings = Showings()
    for n in range(4):
        showings.show(answer(f"r{n}", "i"), log_time_ms=n, rules=RULES)
    fewer = AttributionRules(window_ms=WINDOW_MS, pending_requests=1)
    showings.show(answer("r4", "i"), log_time_ms=50, rules=fewer)
    assert [update.request_id for update in showings.expire(50, rules=fewer)] == [
        *("r0", "r1", "r2", "r3")
    ]


def test_answers_read_far_ahead_are_settled_at_once_and_counted() -> None:
    showings, rules = Showings(), AttributionRules(window_ms=WINDOW_MS, pending_requests=2)
    most = 2 * READ_AHEAD
    told = [
        showings.show(answer(f"r{n}", "i"), log_time_ms=n, rules=rules) for n in range(most + 1)
    ]
    assert [len(updates) for updates in told] == [0] * most + [1]
    assert told[-1][0].request_id == "r0"
    assert showings.drain_counts() == {"showings_displaced": most - 1, "showings_forced": 1}


def test_of_too_many_waiting_reactions_the_oldest_is_forgotten_and_counted() -> None:
    showings, rules = Showings(), AttributionRules(window_ms=WINDOW_MS, waiting_reactions=2)
    for n in range(3):
        showings.react(event(f"e{n}", "click", f"i{n}", "r1"), log_time_ms=n, rules=rules)
    told = showings.show(answer("r1", "i0", "i1", "i2"), log_time_ms=0, rules=rules)
    assert [update.item_id for update in told] == ["i1", "i2"]
    assert showings.drain_counts() == {"reactions_forgotten": 1}


@dataclass(frozen=True)
class Read:
    """A message with the log time at which the broker took it."""

    log_time_ms: int
    what: Impression | UserEvent


def oracle(log: Sequence[Read], rules: AttributionRules) -> Counter[Any]:
    """Every reward that the log holds, each found by looking at all of it."""
    impressions = [(one.log_time_ms, one.what) for one in log if isinstance(one.what, Impression)]
    closes = {}
    for n, (log_time_ms, shown) in enumerate(impressions):
        follower = impressions[n + rules.pending_requests :][:1]
        closes[shown.request_id] = min([log_time_ms + rules.window_ms, *(at for at, _ in follower)])
    rewards: dict[tuple[str, str], list[float]] = {}
    found: Counter[Any] = Counter()
    for read in log:
        if not isinstance(read.what, UserEvent):
            continue
        candidates = [
            shown.request_id
            for log_time_ms, shown in impressions
            if any(item.item_id == read.what.item_id for item in shown.items)
            and read.log_time_ms <= closes[shown.request_id]
            and (
                shown.request_id == read.what.request_id
                and log_time_ms <= read.log_time_ms + rules.window_ms
                if read.what.request_id
                else log_time_ms <= read.log_time_ms
            )
        ]
        reward = reward_of(read.what)
        if not candidates or reward is None:
            continue
        request_id = candidates[-1]
        best = rewards.setdefault((request_id, str(read.what.item_id)), [])
        if not best or reward > max(best):
            previous = max(best, default=None)
            found[(read.what.event_id, request_id, reward, previous)] += 1
            best.append(reward)
    for _, shown in impressions:
        for item in shown.items:
            if (shown.request_id, item.item_id) not in rewards:
                found[(shown.request_id, shown.request_id, 0.0, None)] += 1
    return found


KINDS: tuple[EventType, ...] = ("click", "purchase", "dismiss", "add_to_cart", "scroll", "view")
items = st.sampled_from(["a", "b", "c"])


@st.composite
def logs(draw: st.DrawFn, *, requests: int) -> list[Read]:
    """A user's log, in its order: answers about few items, and reactions that may be wrong."""
    times = st.integers(0, 2_500)
    shown = [
        Read(at, answer(f"r{n}", *sorted(draw(st.sets(items, min_size=1)))))
        for n, at in enumerate(sorted(draw(st.lists(times, max_size=requests))))
    ]
    done = [
        Read(
            at,
            event(
                f"e{n}",
                draw(st.sampled_from(KINDS)),
                draw(items),
                draw(st.none() | st.sampled_from([f"r{n}" for n in range(requests)])),
            ),
        )
        for n, at in enumerate(sorted(draw(st.lists(times, max_size=12))))
    ]
    return sorted([*shown, *done], key=lambda read: read.log_time_ms)


def interleaved(log: Sequence[Read], data: st.DataObject, *, answers_first: bool) -> Iterator[Read]:
    """The log in an order in which two readers may read it."""
    answers = [one for one in log if isinstance(one.what, Impression)]
    events = [one for one in log if isinstance(one.what, UserEvent)]
    while answers or events:
        behind = bool(answers and events) and answers[0].log_time_ms <= events[0].log_time_ms
        must = not events or (answers_first and behind)
        first = answers if answers and (must or data.draw(st.booleans())) else events or answers
        yield first.pop(0)


def rewards_of(
    log: Sequence[Read], order: Iterator[Read], data: st.DataObject, rules: AttributionRules
) -> Counter[Any]:
    """What comes out in this order, with wakes and stored states now and then."""
    showings, unread, told = Showings(), list(log), []
    for read in order:
        unread.remove(read)
        if isinstance(read.what, Impression):
            told += showings.show(read.what, log_time_ms=read.log_time_ms, rules=rules)
        else:
            told += showings.react(read.what, log_time_ms=read.log_time_ms, rules=rules)
        due_ms = showings.due_ms(rules=rules)
        passed_ms = min((one.log_time_ms for one in unread), default=9_999) - 1
        if due_ms is not None and due_ms <= passed_ms and data.draw(st.booleans()):
            told += showings.expire(data.draw(st.integers(due_ms, passed_ms)), rules=rules)
        if data.draw(st.booleans()):
            showings = Showings.from_bytes(showings.to_bytes())
    told += showings.expire(9_999, rules=rules)
    assert showings.to_bytes() == b""
    return Counter(
        (update.update_id.split(":")[0], update.request_id, update.reward, update.previous_reward)
        for update in told
    )


@settings(max_examples=300, deadline=None)
@given(logs(requests=6), st.data())
def test_the_order_in_which_two_topics_are_read_changes_no_reward(
    log: list[Read], data: st.DataObject
) -> None:
    order = interleaved(log, data, answers_first=False)
    assert rewards_of(log, order, data, RULES) == oracle(log, RULES)


@settings(max_examples=300, deadline=None)
@given(logs(requests=8), st.data())
def test_how_far_answers_are_read_ahead_changes_no_reward_of_a_full_list(
    log: list[Read], data: st.DataObject
) -> None:
    rules = AttributionRules(window_ms=WINDOW_MS, pending_requests=2)
    order = interleaved(log, data, answers_first=True)
    assert rewards_of(log, order, data, rules) == oracle(log, rules)


def known_showings() -> Showings:
    """Showings with all that their bytes can hold."""
    showings = Showings()
    features = tuple(n / 64 for n in range(64))
    showings.show(answer("r0", "i0"), log_time_ms=START_MS - 1_500, rules=RULES)
    showings.show(answer("rü", "i1", "i:2", context_features=features), log_time_ms=START_MS)
    showings.expire(START_MS - 100, rules=RULES)
    showings.react(event("e1", "click", "i:2", "rü"), log_time_ms=START_MS + 5)
    showings.react(event("e2", "like", "i1"), log_time_ms=START_MS + 6)
    showings.react(event("e3", "purchase", "i9", "r9"), log_time_ms=START_MS + 7)
    return showings


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_ever_written_is_read(version: int) -> None:
    stored = (GOLDEN / f"showings_v{version}.bin").read_bytes()
    read, known = Showings.from_bytes(stored), known_showings()
    assert read.expire(10**15) == known.expire(10**15)


def test_what_is_written_now_is_what_the_file_holds() -> None:
    stored = (GOLDEN / f"showings_v{FORMAT_VERSION}.bin").read_bytes()
    assert known_showings().to_bytes() == stored


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + known_showings().to_bytes()[1:]
    with pytest.raises(ShowingsError, match="showings of format 2; this version reads 1"):
        Showings.from_bytes(stored)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b[:3]])
def test_damaged_bytes_are_named(change: Any) -> None:
    with pytest.raises(ShowingsError, match="bytes of showings are damaged"):
        Showings.from_bytes(change(known_showings().to_bytes()))


def test_showings_of_an_active_user_are_small() -> None:
    showings = Showings()
    ids = [f"8512{n:02d}A" for n in range(20)]
    for n in range(8):
        shown = answer(f"{n:036d}", *ids, context_features=(0.5,) * 64)
        showings.show(shown, log_time_ms=n)
    assert len(showings.to_bytes()) / 8 < 600
