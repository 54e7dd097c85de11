from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.item_state import apply_pair
from domain.item_state_codec import ItemStateError
from operators import item_state as module
from operators.item_state import LARGEST_ITEM, ItemFold, NeighborLimits
from schemas.codec import encode
from schemas.topics import (
    ITEM_ENGAGEMENT,
    ITEM_NEIGHBORS,
    ITEM_PAIRS,
    ITEM_POPULARITY,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    ITEMS,
)
from schemas.types import (
    ItemEngagement,
    ItemEvent,
    ItemNeighbors,
    ItemPair,
    ItemPopularity,
    ItemSignal,
    ItemSnapshot,
)

NOW_MS = 1_700_000_000_000
VECTOR = np.ones(512, dtype="<f4").tobytes()
ITEM = ItemEvent(item_id="i1", updated_at_ms=NOW_MS - 9, title="Lamp", text_embedding=VECTOR)
SIGNAL = ItemSignal(
    item_id="i1",
    event_id="e1",
    user_id="u1",
    event_type="purchase",
    timestamp_ms=NOW_MS,
    log_time_ms=NOW_MS,
)
PAIR = ItemPair(
    item_id="i1",
    event_id="e1",
    timestamp_ms=NOW_MS,
    log_time_ms=NOW_MS,
    others=("i2",),
    weights=(0.5,),
)


@pytest.fixture
def lived(run: Callable[[Any], Any]) -> Any:
    return run(ItemFold(max_ahead_ms=1_000, half_life_ms=3_600_000))


def ingest(lived: Any, item: ItemEvent) -> list[Any]:
    out: list[Any] = lived.send(ITEMS.name, encode(item), key=item.item_id.encode())
    return out


def hear(lived: Any, signal: ItemSignal) -> list[Any]:
    out: list[Any] = lived.send(ITEM_SIGNALS.name, encode(signal), key=signal.item_id.encode())
    return out


def test_a_catalogue_message_and_a_signal_leave_for_topics_of_their_own(lived: Any) -> None:
    ((topic, key, snapshot),) = ingest(lived, ITEM)
    assert (topic, key) == (ITEM_SNAPSHOTS.name, "i1")
    assert isinstance(snapshot, ItemSnapshot)
    assert (snapshot.version, snapshot.catalog) == (1, replace(ITEM, text_embedding=None))
    assert (len(snapshot.vector or b""), len(snapshot.unified or b"")) == (2_048, 4_096)
    ((topic, key, moved), (later, _, engaged)) = hear(lived, SIGNAL)
    assert (topic, later, key) == (ITEM_POPULARITY.name, ITEM_ENGAGEMENT.name, "i1")
    assert isinstance(engaged, ItemEngagement)
    assert (engaged.version, engaged.conversions_1h) == (1, 1)
    assert isinstance(moved, ItemPopularity)
    assert moved.version == 1
    assert moved.popularity == pytest.approx(1.0)
    assert lived.counters == {"accepted": 2}


def test_a_signal_costs_little_however_large_its_item_is(lived: Any) -> None:
    ingest(lived, replace(ITEM, description="x" * 10_000))
    (_, _, moved), (_, _, engaged) = hear(lived, SIGNAL)
    assert len(encode(moved)) < 100
    assert len(encode(engaged)) < 200
    assert len(lived.states[b"i1"]) < 300
    assert list(lived.states) == [b"i1"]


def pair_with(lived: Any, other: str, at_ms: int) -> list[Any]:
    pair = replace(PAIR, others=(other,), timestamp_ms=at_ms, log_time_ms=at_ms)
    out: list[Any] = lived.send(ITEM_PAIRS.name, encode(pair), key=b"i1", log_time_ms=at_ms)
    return out


def neighbors_of(out: list[Any]) -> list[tuple[int, tuple[str, ...]]]:
    assert all(topic == ITEM_NEIGHBORS.name and key == "i1" for topic, key, _ in out)
    assert all(isinstance(record, ItemNeighbors) for _, _, record in out)
    return [(record.version, record.neighbors) for _, _, record in out]


def test_neighbours_of_a_quiet_item_leave_at_once_and_of_a_busy_one_each_second(
    lived: Any,
) -> None:
    assert neighbors_of(pair_with(lived, "i2", NOW_MS)) == [(1, ("i2",))]
    assert pair_with(lived, "i3", NOW_MS + 10) == []
    assert pair_with(lived, "i3", NOW_MS + 500) == []
    assert lived.pass_time(NOW_MS + 999) == []
    assert neighbors_of(lived.pass_time(NOW_MS + 1_001)) == [(3, ("i3", "i2"))]
    assert lived.pass_time(NOW_MS + 60_000) == []
    assert len(neighbors_of(pair_with(lived, "i2", NOW_MS + 61_000))) == 1


def test_what_a_signal_moved_and_what_a_pair_moved_are_told_together(lived: Any) -> None:
    hear(lived, SIGNAL)
    hear(lived, SIGNAL)
    assert pair_with(lived, "i2", NOW_MS) == []
    told = lived.pass_time(NOW_MS + 1_001)
    assert [topic for topic, _, _ in told] == [ITEM_ENGAGEMENT.name, ITEM_NEIGHBORS.name]
    assert (told[0][2].version, told[1][2].version) == (2, 1)


def test_one_chosen_half_life_takes_over_what_several_have_learned(run: Any) -> None:
    several = ItemFold(max_ahead_ms=1_000, half_life_ms=1)
    chosen = NeighborLimits(half_lives_ms=(86_400_000,))
    state = several.empty()
    apply_pair(state, PAIR)
    one = ItemFold(max_ahead_ms=1_000, half_life_ms=1, neighbors=chosen)
    assert one.decode(several.encode(state)).neighbors.half_lives_ms == (86_400_000,)
    assert one.empty().neighbors.half_lives_ms == (86_400_000,)


def test_a_signal_of_an_item_that_nobody_ingested_counts(lived: Any) -> None:
    (topic, _, moved), _ = hear(lived, SIGNAL)
    assert (topic, moved.version, moved.total_events) == (ITEM_POPULARITY.name, 1, 1)


def test_an_older_change_gives_nothing(lived: Any) -> None:
    ingest(lived, ITEM)
    assert ingest(lived, replace(ITEM, updated_at_ms=NOW_MS - 10)) == []
    assert lived.counters == {"accepted": 1, "stale": 1}


def test_a_tombstone_deletes(lived: Any) -> None:
    ingest(lived, ITEM)
    ((_, _, snapshot),) = lived.send(ITEMS.name, None, key=b"i1")
    assert snapshot.deleted


@pytest.mark.parametrize(
    ("topic", "value", "key", "reason"),
    [
        (ITEMS.name, None, None, "empty"),
        (ITEMS.name, None, b"\xff", "wrong_key"),
        (ITEMS.name, b"", b"i1", "empty"),
        (ITEMS.name, b"{}", b"i1", "not_avro"),
        (ITEMS.name, encode(SIGNAL), b"i1", "wrong_schema"),
        (ITEMS.name, encode(ITEM), b"i2", "wrong_key"),
        (ITEMS.name, encode(replace(ITEM, text_embedding=b"abc")), b"i1", "bad_vector"),
        (ITEMS.name, encode(replace(ITEM, updated_at_ms=NOW_MS * 2)), b"i1", "in_future"),
        (ITEMS.name, bytes(LARGEST_ITEM + 1), b"i1", "too_large"),
        (ITEM_SIGNALS.name, None, b"i1", "empty"),
        (ITEM_SIGNALS.name, encode(ITEM), b"i1", "wrong_schema"),
        (ITEM_PAIRS.name, encode(SIGNAL), b"i1", "wrong_schema"),
        (ITEM_PAIRS.name, encode(replace(PAIR, weights=())), b"i1", "bad_weight"),
        (ITEM_PAIRS.name, encode(replace(PAIR, weights=(0.0,))), b"i1", "bad_weight"),
        (ITEM_PAIRS.name, encode(replace(PAIR, weights=(float("nan"),))), b"i1", "bad_weight"),
    ],
)
def test_what_cannot_be_used_becomes_a_dead_letter(
    lived: Any, topic: str, value: bytes | None, key: bytes | None, reason: str
) -> None:
    letter = lived.send_bad(topic, value, key=key)
    assert (letter.reason, letter.job, letter.topic) == (reason, "item_state", topic)
    assert lived.counters == {f"dead_letters.{reason}": 1}
    assert lived.states == {}


def test_the_largest_item_fits_into_a_snapshot(lived: Any) -> None:
    room = LARGEST_ITEM - len(encode(replace(ITEM, description=""))) - 8
    ((_, _, snapshot),) = ingest(lived, replace(ITEM, description="x" * room))
    assert len(encode(snapshot)) < ITEM_SNAPSHOTS.max_message_bytes


def test_a_bug_costs_the_record_and_not_the_job(
    lived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> ItemPopularity:
        raise ZeroDivisionError("half life")

    monkeypatch.setattr(module, "apply_signal", broken)
    letter = lived.send_bad(ITEM_SIGNALS.name, encode(SIGNAL), key=b"i1")
    assert (letter.reason, letter.detail) == ("internal", "ZeroDivisionError: half life")


def test_state_that_cannot_be_read_stops_the_job(lived: Any) -> None:
    lived.states[b"i1"] = b"\x63"
    with pytest.raises(ItemStateError, match="format 99"):
        hear(lived, SIGNAL)
