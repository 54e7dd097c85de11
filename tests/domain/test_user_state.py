from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.embedding import Vector
from domain.user_state import SESSION_GAP_MS, Outcome, UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from domain.windows import Windows
from schemas.collections import USER_DIM
from schemas.types import EventType, UserEvent

START_MS = 1_700_000_000_000
ITEM: Vector = np.eye(1, USER_DIM, dtype=np.float32)[0]


def event(number: int, at_ms: int = START_MS, kind: EventType = "view") -> UserEvent:
    return UserEvent(event_id=f"e{number}", user_id="u1", event_type=kind, timestamp_ms=at_ms)


def take(
    state: UserState, what: UserEvent, *, item: Vector | None = None, dedup_ids: int = 48
) -> Outcome:
    return apply(
        state, what, item_vector=item, log_time_ms=what.timestamp_ms + 20, dedup_ids=dedup_ids
    )


def sessions_of(events: list[tuple[str | None, int]]) -> list[tuple[int, str | None, int]]:
    """After each event: sessions so far, the current one's id, its interactions."""
    state, seen = UserState(), []
    for number, (session_id, minute) in enumerate(events):
        what = replace(event(number, START_MS + minute * 60_000), session_id=session_id)
        take(state, what)
        session = state.session
        seen.append((state.total_sessions, session.session_id, session.interactions))
    return seen


def test_a_snapshot_tells_all_of_the_user() -> None:
    state = UserState()
    what = replace(
        event(1),
        item_id="i1",
        session_id="s1",
        device_type="mobile",
        page_type="home",
        country="DE",
        position=2,
        request_id="r1",
        duration_ms=30,
        price=2.5,
        quantity=3,
    )
    outcome = take(state, what, item=ITEM)
    snapshot, update, signal = outcome.snapshot, outcome.embedding, outcome.signal
    assert snapshot is not None
    assert update is not None
    assert signal is not None
    assert (snapshot.version, snapshot.total_interactions, snapshot.total_sessions) == (1, 1, 1)
    assert (snapshot.timestamp_ms, snapshot.first_seen_ms) == (START_MS, START_MS)
    assert snapshot.log_time_ms == START_MS + 20
    assert (snapshot.session_id, snapshot.session_start_ms) == ("s1", START_MS)
    assert (snapshot.device_type, snapshot.page_type, snapshot.country) == ("mobile", "home", "DE")
    assert snapshot.interaction.item_id == "i1"
    assert (snapshot.interaction.position, snapshot.interaction.request_id) == (2, "r1")
    assert Windows.from_bytes(snapshot.windows).counts(START_MS)["5m"] == {"view": 1}
    assert snapshot.embedding_version == update.embedding.version == 1
    assert np.frombuffer(update.embedding.vector, "<f4") == pytest.approx(ITEM)
    assert (update.trigger and update.trigger.interaction_id) == "e1"
    assert (signal.item_id, signal.event_id, signal.price, signal.quantity) == ("i1", "e1", 2.5, 3)


def test_a_duplicate_changes_nothing() -> None:
    state = UserState()
    take(state, event(1))
    before = encode_user_state(state)
    assert take(state, event(1)) == Outcome()
    assert encode_user_state(state) == before


def test_as_many_ids_are_known_as_asked_for() -> None:
    state = UserState()
    for number in range(6):
        take(state, event(number), dedup_ids=5)
    assert take(state, event(1), dedup_ids=5).snapshot is None
    assert take(state, event(0), dedup_ids=5).snapshot is not None
    assert len(state.recent_ids) == 5


def test_events_without_an_item_give_no_signal_and_no_vector() -> None:
    outcome = take(UserState(), event(1, kind="search"))
    assert (outcome.signal, outcome.embedding) == (None, None)


def test_an_unknown_item_is_counted_but_teaches_nothing() -> None:
    outcome = take(UserState(), replace(event(1), item_id="i1"), item=None)
    assert outcome.embedding is None
    assert outcome.signal is not None
    assert outcome.snapshot is not None


def test_a_late_event_is_counted_where_it_belongs_and_called_late() -> None:
    state = UserState()
    assert not take(state, event(1)).late
    outcome = take(state, event(2, START_MS - 10 * 60_000, "click"))
    assert outcome.late
    assert outcome.snapshot is not None
    assert outcome.snapshot.timestamp_ms == START_MS
    assert outcome.snapshot.first_seen_ms == START_MS - 10 * 60_000
    assert state.windows.counts(START_MS)["1h"] == {"view": 1, "click": 1}
    assert state.windows.counts(START_MS)["5m"] == {"view": 1}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(None, 0), (None, 30)], [(1, None, 1), (1, None, 2)]),
        ([(None, 0), (None, 31)], [(1, None, 1), (2, None, 1)]),
        ([("a", 0), ("b", 1)], [(1, "a", 1), (2, "b", 1)]),
        ([("a", 0), (None, 1)], [(1, "a", 1), (1, "a", 2)]),
        ([(None, 0), ("a", 1)], [(1, None, 1), (1, "a", 2)]),
        ([("a", 0), ("a", 40)], [(1, "a", 1), (2, "a", 1)]),
        # Stragglers of the visit before: they begin nothing and don't count in this one.
        ([("a", 0), ("b", 9), ("a", 5)], [(1, "a", 1), (2, "b", 1), (2, "b", 1)]),
        ([("a", 9), ("a", 5)], [(1, "a", 1), (1, "a", 2)]),
    ],
)
def test_visits(
    events: list[tuple[str | None, int]], expected: list[tuple[int, str | None, int]]
) -> None:
    assert sessions_of(events) == expected


def test_a_visit_counts_from_its_earliest_event() -> None:
    state = UserState()
    take(state, event(1, START_MS))
    take(state, event(2, START_MS - 60_000))
    assert state.session.start_ms == START_MS - 60_000
    take(state, event(3, START_MS + SESSION_GAP_MS))
    assert state.total_sessions == 1


def test_an_older_event_does_not_overwrite_the_device() -> None:
    state = UserState()
    take(state, replace(event(1), device_type="mobile"))
    take(state, replace(event(2, START_MS - 1), device_type="tv"))
    take(state, event(3, START_MS + 1))
    assert state.device_type == "mobile"


def test_nothing_is_learned_without_consent() -> None:
    state = UserState()
    take(state, replace(event(1), item_id="i1"), item=ITEM)
    outcome = take(state, replace(event(2), item_id="i1", consent=False), item=-ITEM)
    assert outcome.embedding is None
    assert outcome.snapshot is not None
    assert outcome.snapshot.consent is False
    assert take(state, replace(event(3), item_id="i1"), item=-ITEM).embedding is None
    assert state.embedding.version == 1
    given_again = replace(event(4), item_id="i1", consent=True)
    assert take(state, given_again, item=-ITEM).embedding is not None


histories = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.sampled_from(["view", "click", "purchase", "dismiss", "search"]),
        st.integers(-3_600_000, 7_200_000),
        st.sampled_from([None, "s1", "s2"]),
    ),
    max_size=40,
)


@given(histories)
def test_totals_are_those_of_a_recount(
    history: list[tuple[int, EventType, int, str | None]],
) -> None:
    state, at_ms, seen, versions = UserState(), START_MS, Counter[str](), []
    for number, kind, gap_ms, session_id in history:
        at_ms += gap_ms
        what = replace(event(number, at_ms, kind), session_id=session_id, item_id="i1")
        outcome = take(state, what, item=ITEM)
        seen[what.event_id] += 1
        if outcome.snapshot is not None:
            versions.append(outcome.snapshot.version)
    assert state.total_interactions == len(seen)
    assert versions == list(range(1, len(seen) + 1))


@given(histories)
def test_stored_and_read_after_every_event_is_the_same(
    history: list[tuple[int, EventType, int, str | None]],
) -> None:
    kept, stored, at_ms = UserState(), encode_user_state(UserState()), START_MS
    for number, kind, gap_ms, session_id in history:
        at_ms += gap_ms
        what = replace(event(number, at_ms, kind), session_id=session_id, item_id="i1")
        read = decode_user_state(stored)
        assert take(read, what, item=ITEM) == take(kept, what, item=ITEM)
        stored = encode_user_state(read)
    assert stored == encode_user_state(kept)
