from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.affinity import Affinities
from domain.embedding import Vector, fold
from domain.emotion import EmotionState, mood_at
from domain.recent_ids import ID_BYTES
from domain.session import SESSION_GAP_MS, RecentItem
from domain.user_state import Outcome, UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from domain.windows import Windows
from schemas.collections import USER_DIM
from schemas.types import EventType, Impression, ShownItem, UserEvent, UserSnapshot

START_MS = 1_700_000_000_000
AXIS: Vector = np.eye(1, USER_DIM, dtype=np.float32)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """What a catalogue says."""

    vector: Vector | None = None
    category: str | None = None
    price: float | None = None


ITEM, OPPOSITE = Item(vector=AXIS), Item(vector=-AXIS)


def event(number: int, at_ms: int = START_MS, kind: EventType = "view") -> UserEvent:
    return UserEvent(event_id=f"e{number}", user_id="u1", event_type=kind, timestamp_ms=at_ms)


def take(
    state: UserState, what: UserEvent, *, item: Item | None = None, dedup_ids: int = 48
) -> Outcome:
    return apply(state, what, item=item, log_time_ms=what.timestamp_ms + 20, dedup_ids=dedup_ids)


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
    assert np.frombuffer(update.embedding.vector, "<f4") == pytest.approx(AXIS)
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


def test_what_the_catalogue_knows_of_an_item_is_learned() -> None:
    state, mug = UserState(), Item(vector=AXIS, category="mugs", price=8.0)
    take(state, replace(event(1), item_id="i1", duration_ms=900), item=mug)
    take(state, replace(event(2, kind="purchase"), item_id="i1", quantity=3), item=mug)
    take(state, replace(event(3, kind="purchase"), item_id="i1", price=2.0), item=mug)
    hour = state.windows.activity(START_MS)["1h"]
    assert (hour.spend, hour.items, hour.duration_ms) == (3 * 8.0 + 2.0, 1, 900)
    assert hour.categories == {state.affinities.names.index("mugs"): 1}
    assert state.affinities.preferred() == ["mugs"]
    assert state.affinities.price_sensitivity() == pytest.approx(8 / (8 + 4))


def test_an_update_carries_the_vectors_of_day_and_visit() -> None:
    state = UserState()
    what = replace(event(1, kind="click"), item_id="i1", session_id="s1")
    update = take(state, what, item=ITEM).embedding
    assert update is not None
    assert np.frombuffer(update.day_vector, "<f2") == pytest.approx(2_047 * AXIS)
    told = np.frombuffer(update.session_vector, "<f2")
    assert told == pytest.approx(2_047 * fold(AXIS))
    assert (update.session_number, update.recompute_due, update.log_time_ms) == (
        *(1, False),
        START_MS + 20,
    )
    other = replace(event(2, kind="click"), item_id="i1", session_id="s2")
    update = take(state, other, item=OPPOSITE).embedding
    assert update is not None
    told = np.frombuffer(update.session_vector, "<f2")
    assert told == pytest.approx(-2_047 * fold(AXIS))
    assert update.session_number == 2


def test_the_tenth_event_that_teaches_says_that_it_is() -> None:
    state, due = UserState(), []
    for number in range(12):
        update = take(state, replace(event(number), item_id="i"), item=ITEM).embedding
        due.append(update is not None and update.recompute_due)
    assert due == [False] * 9 + [True, False, False]


def test_recent_items_are_those_before_the_event_until_all_is_told() -> None:
    state = UserState()
    for number in range(3):
        take(state, replace(event(number, START_MS + number), item_id=f"i{number % 2}"))
    take(state, event(3, START_MS + 3, "search"))
    assert state.session.recent_items == [
        RecentItem("i1", START_MS + 1, "view"),
        RecentItem("i0", START_MS + 2, "view"),
    ]
    take(state, replace(event(4), session_id="other", item_id="i9"))
    assert [item.item_id for item in state.session.recent_items] == ["i9", "i1", "i0"]


def test_a_straggler_of_an_earlier_visit_is_no_item_of_this_one() -> None:
    state = UserState()
    take(state, replace(event(1), session_id="a", item_id="i1"), item=ITEM)
    take(state, replace(event(2, START_MS + 10), session_id="b", item_id="i2"), item=ITEM)
    take(state, replace(event(3, START_MS + 5), session_id="a", item_id="i3"), item=OPPOSITE)
    assert [item.item_id for item in state.session.recent_items] == ["i2"]
    assert state.session.embedding.vector is not None
    assert state.session.embedding.vector.times(1.0) == pytest.approx(0.1 * fold(AXIS), abs=1e-3)
    assert state.embedding.version == 3


def test_a_search_tells_its_words_and_a_view_does_not() -> None:
    state = UserState()
    searched = take(state, replace(event(1, kind="search"), text="ü" * 100)).snapshot
    viewed = take(state, replace(event(2), text="words")).snapshot
    assert searched is not None
    assert viewed is not None
    assert (searched.interaction.text, viewed.interaction.text) == ("ü" * 64, None)


def test_a_snapshot_tells_affinities_and_how_the_user_feels() -> None:
    state = UserState()
    what = replace(event(1, kind="like"), item_id="i1")
    snapshot = take(state, what, item=Item(category="mugs")).snapshot
    assert snapshot is not None
    assert Affinities.from_bytes(snapshot.affinities).for_now() == {"mugs": 1.0}
    mood = mood_at(EmotionState.from_bytes(snapshot.emotion), at_ms=START_MS)
    assert mood.sentiment_score > 0.1


def shown(request_id: str = "r1") -> Impression:
    item = ShownItem(item_id="i1", rank=1, score=0.5, source="content")
    return Impression(request_id=request_id, user_id="u1", timestamp_ms=START_MS, items=(item,))


def test_a_reaction_to_what_was_shown_gives_a_reward() -> None:
    state = UserState()
    state.showings.show(shown(), log_time_ms=START_MS)
    click = replace(event(1, kind="click"), item_id="i1", request_id="r1")
    (reward,) = take(state, click).rewards
    assert (reward.item_id, reward.reward, reward.request_id) == ("i1", 0.3, "r1")


def lived_user() -> UserState:
    """Of this user everything there is has been learned."""
    state = UserState()
    state.showings.show(shown(), log_time_ms=START_MS)
    for number, kind in enumerate(("view", "click", "purchase", "search", "like")):
        what = replace(
            event(number, START_MS + number, kind),  # type: ignore[arg-type]
            item_id="secret-item",
            session_id="secret-session",
            device_type="secret-device",
            page_type="secret-page",
            country="secret-country",
            text="secret-words",
            duration_ms=7,
        )
        take(state, what, item=Item(vector=AXIS, category="secret-category", price=3.0))
    return state


def test_who_withdraws_consent_leaves_no_more_than_that() -> None:
    state = lived_user()
    assert b"secret" in encode_user_state(state)
    no = replace(event(9, START_MS + 9), item_id="i1", session_id="s", consent=False)
    outcome = take(state, no, item=ITEM)
    update, snapshot = outcome.embedding, outcome.snapshot
    assert update is not None
    assert (update.erased, update.embedding.vector, update.embedding.version) == (True, b"", 5)
    assert snapshot is not None
    assert snapshot == UserSnapshot(
        user_id="u1",
        version=6,
        timestamp_ms=START_MS + 9,
        log_time_ms=START_MS + 29,
        first_seen_ms=START_MS,
        total_interactions=0,
        total_sessions=0,
        consent=False,
        embedding_version=update.embedding.version,
        interaction=snapshot.interaction,
    )
    assert snapshot.interaction.item_id is None
    expected = UserState(version=6, first_seen_ms=START_MS, latest_ms=START_MS + 9, consent=False)
    expected.recent_ids, expected.embedding.version = state.recent_ids, 5
    assert encode_user_state(state) == encode_user_state(expected)


def test_nothing_is_learned_without_consent() -> None:
    state = UserState()
    take(state, replace(event(1), consent=False))
    before = len(encode_user_state(state))
    outcome = take(
        state,
        replace(event(2, START_MS + 1, "click"), item_id="secret", session_id="secret", text="x"),
        item=Item(vector=AXIS, category="secret", price=1.0),
    )
    stored = encode_user_state(state)
    assert (len(stored), b"secret" in stored) == (before + ID_BYTES, False)
    assert (outcome.embedding, outcome.rewards, outcome.late) == (None, (), False)
    assert outcome.signal is not None
    assert (outcome.signal.item_id, outcome.signal.user_id) == ("secret", "")
    assert take(state, replace(event(2), item_id="i1")).snapshot is None


def test_who_consents_again_begins_anew() -> None:
    state = lived_user()
    take(state, replace(event(8), consent=False))
    outcome = take(
        state, replace(event(9, START_MS + 9), item_id="i1", consent=True), item=OPPOSITE
    )
    update, snapshot = outcome.embedding, outcome.snapshot
    assert update is not None
    assert np.frombuffer(update.embedding.vector, "<f4") == pytest.approx(-AXIS)
    assert snapshot is not None
    assert (snapshot.version, snapshot.total_interactions, snapshot.total_sessions) == (7, 1, 1)
    assert snapshot.embedding_version == update.embedding.version == 7
    assert state.windows.counts(START_MS + 9)["24h"] == {"view": 1}


def test_who_says_no_again_is_forgotten_again() -> None:
    """The message is told again, so whoever missed it the first time deletes too."""
    state = UserState()
    take(state, replace(event(1), consent=False))
    update = take(state, replace(event(2), consent=False)).embedding
    assert update is not None
    assert update.erased
    again = take(state, replace(event(3), consent=None)).embedding
    assert again is None


def test_an_erased_user_leaves_nothing() -> None:
    state = lived_user()
    outcome = take(state, event(9, START_MS + 9, "erase"))
    assert encode_user_state(state) == b""
    assert state.showings.due_ms() is None
    snapshot, update = outcome.snapshot, outcome.embedding
    assert snapshot is not None
    assert (snapshot.erased, snapshot.version, snapshot.session_id) == (True, 6, "secret-session")
    assert (snapshot.interaction.item_id, snapshot.windows) == (None, b"")
    assert update is not None
    assert (update.erased, update.embedding.version) == (True, 5)
    assert outcome.signal is None
    again = take(state, event(10, START_MS + 10)).snapshot
    assert again is not None
    assert (again.version, again.first_seen_ms) == (1, START_MS + 10)


def test_a_user_of_whom_nothing_is_known_can_be_erased() -> None:
    outcome = take(UserState(), event(1, kind="erase"))
    assert outcome.snapshot is not None
    assert outcome.snapshot.erased
    assert outcome.embedding is not None


histories = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.sampled_from(["view", "click", "purchase", "dismiss", "search"]),
        st.integers(-3_600_000, 7_200_000),
        st.sampled_from([None, "s1", "s2"]),
        st.sampled_from([None] * 6 + [True, False]),
    ),
    max_size=40,
)


@given(histories)
def test_totals_are_those_of_a_recount(
    history: list[tuple[int, EventType, int, str | None, bool | None]],
) -> None:
    state, at_ms, seen, versions = UserState(), START_MS, Counter[str](), []
    for number, kind, gap_ms, session_id, consent in history:
        at_ms += gap_ms
        what = replace(
            event(number, at_ms, kind),
            session_id=session_id,
            item_id="i1",
            consent=consent or None,
        )
        outcome = take(state, what, item=ITEM)
        seen[what.event_id] += 1
        if outcome.snapshot is not None:
            versions.append(outcome.snapshot.version)
    assert state.total_interactions == len(seen)
    assert versions == list(range(1, len(seen) + 1))


def _vector(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(USER_DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@given(histories)
def test_stored_and_read_after_every_event_is_the_same(
    history: list[tuple[int, EventType, int, str | None, bool | None]],
) -> None:
    kept, stored, at_ms = UserState(), encode_user_state(UserState()), START_MS
    for number, kind, gap_ms, session_id, consent in history:
        at_ms += gap_ms
        what = replace(
            event(number, at_ms, kind),
            session_id=session_id,
            item_id=f"i{number % 5}",
            consent=consent,
            duration_ms=gap_ms if gap_ms > 0 else None,
            context={"category": f"c{number % 3}"},
        )
        read, item = decode_user_state(stored), Item(vector=_vector(number), price=1.5 + number)
        assert take(read, what, item=item) == take(kept, what, item=item)
        stored = encode_user_state(read)
    assert stored == encode_user_state(kept)
