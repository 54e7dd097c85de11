from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.item_state_codec import ItemStateError
from operators import item_state as module
from operators.item_state import LARGEST_ITEM, ItemFold
from schemas.codec import encode
from schemas.topics import ITEM_POPULARITY, ITEM_SIGNALS, ITEM_SNAPSHOTS, ITEMS
from schemas.types import ItemEvent, ItemPopularity, ItemSignal, ItemSnapshot

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
    ((topic, key, moved),) = hear(lived, SIGNAL)
    assert (topic, key) == (ITEM_POPULARITY.name, "i1")
    assert isinstance(moved, ItemPopularity)
    assert moved.version == 1
    assert moved.popularity == pytest.approx(1.0)
    assert lived.counters == {"accepted": 2}


def test_a_signal_costs_little_however_large_its_item_is(lived: Any) -> None:
    ingest(lived, replace(ITEM, description="x" * 10_000))
    ((_, _, moved),) = hear(lived, SIGNAL)
    assert len(encode(moved)) < 100
    assert len(lived.states[b"i1"]) < 100
    assert list(lived.states) == [b"i1"]


def test_a_signal_of_an_item_that_nobody_ingested_counts(lived: Any) -> None:
    ((topic, _, moved),) = hear(lived, SIGNAL)
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
