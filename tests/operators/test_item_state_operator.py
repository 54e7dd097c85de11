from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.item_state_codec import ItemStateError
from operators import item_state as module
from operators.item_state import LARGEST_ITEM, ItemStateOperator
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
def flink(runtime: Callable[[Any], Any]) -> Any:
    return runtime(ItemStateOperator(max_ahead_ms=1_000, half_life_ms=3_600_000))


def ingest(flink: Any, item: ItemEvent) -> list[Any]:
    out: list[Any] = flink.send(ITEMS.name, encode(item), key=item.item_id.encode())
    return out


def hear(flink: Any, signal: ItemSignal) -> list[Any]:
    out: list[Any] = flink.send(ITEM_SIGNALS.name, encode(signal), key=signal.item_id.encode())
    return out


def test_a_catalogue_message_and_a_signal_leave_for_topics_of_their_own(flink: Any) -> None:
    ((topic, key, snapshot),) = ingest(flink, ITEM)
    assert (topic, key) == (ITEM_SNAPSHOTS.name, "i1")
    assert isinstance(snapshot, ItemSnapshot)
    assert (snapshot.version, snapshot.catalog) == (1, replace(ITEM, text_embedding=None))
    assert (len(snapshot.vector or b""), len(snapshot.unified or b"")) == (2_048, 4_096)
    ((topic, key, moved),) = hear(flink, SIGNAL)
    assert (topic, key) == (ITEM_POPULARITY.name, "i1")
    assert isinstance(moved, ItemPopularity)
    assert moved.version == 1
    assert moved.popularity == pytest.approx(1.0)
    assert flink.counters == {"accepted": 2}


def test_a_signal_costs_little_however_large_its_item_is(flink: Any) -> None:
    ingest(flink, replace(ITEM, description="x" * 10_000))
    ((_, _, moved),) = hear(flink, SIGNAL)
    assert len(encode(moved)) < 100
    assert len(flink.states["item"].values["i1"]) < 100
    assert list(flink.states) == ["item"]


def test_a_signal_of_an_item_that_nobody_ingested_counts(flink: Any) -> None:
    ((topic, _, moved),) = hear(flink, SIGNAL)
    assert (topic, moved.version, moved.total_events) == (ITEM_POPULARITY.name, 1, 1)


def test_an_older_change_gives_nothing(flink: Any) -> None:
    ingest(flink, ITEM)
    assert ingest(flink, replace(ITEM, updated_at_ms=NOW_MS - 10)) == []
    assert flink.counters == {"accepted": 1, "stale": 1}


def test_a_tombstone_deletes(flink: Any) -> None:
    ingest(flink, ITEM)
    ((_, _, snapshot),) = flink.send(ITEMS.name, None, key=b"i1")
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
    flink: Any, topic: str, value: bytes | None, key: bytes | None, reason: str
) -> None:
    letter = flink.send_bad(topic, value, key=key)
    assert (letter.reason, letter.job, letter.topic) == (reason, "item_state", topic)
    assert flink.counters == {f"reason={reason}.dead_letters": 1}
    assert flink.states["item"].values == {}


def test_the_largest_item_fits_into_a_snapshot(flink: Any) -> None:
    room = LARGEST_ITEM - len(encode(replace(ITEM, description=""))) - 8
    ((_, _, snapshot),) = ingest(flink, replace(ITEM, description="x" * room))
    assert len(encode(snapshot)) < ITEM_SNAPSHOTS.max_message_bytes


def test_a_bug_costs_the_record_and_not_the_job(
    flink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> ItemPopularity:
        raise ZeroDivisionError("half life")

    monkeypatch.setattr(module, "apply_signal", broken)
    letter = flink.send_bad(ITEM_SIGNALS.name, encode(SIGNAL), key=b"i1")
    assert (letter.reason, letter.detail) == ("internal", "ZeroDivisionError: half life")


def test_state_that_cannot_be_read_stops_the_job(flink: Any) -> None:
    flink.states["item"].values["i1"] = b"\x63"
    with pytest.raises(ItemStateError, match="format 99"):
        hear(flink, SIGNAL)
