from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.events import EventLimits
from domain.fusion import fuse
from domain.item_state import ItemState, apply_item, apply_signal, item_refusal
from schemas.types import EventType, ItemEvent, ItemPopularity, ItemSignal, ItemSnapshot

HALF_LIFE_MS = 3_600_000
NOW_MS = 1_700_000_000_000
LIMITS = EventLimits(max_ahead_ms=500)
VECTOR = np.random.default_rng(0).standard_normal(512).astype("<f4")
ITEM = ItemEvent(item_id="i1", updated_at_ms=NOW_MS, title="Lamp", text_embedding=VECTOR.tobytes())


def take(state: ItemState, item: ItemEvent) -> ItemSnapshot | None:
    return apply_item(state, item, log_time_ms=NOW_MS + 5)


def signal(kind: EventType, at_ms: int = NOW_MS) -> ItemSignal:
    return ItemSignal(
        item_id="i1",
        event_id="e1",
        user_id="u1",
        event_type=kind,
        timestamp_ms=at_ms,
        log_time_ms=at_ms + 9,
    )


def hear(state: ItemState, kind: EventType, at_ms: int = NOW_MS) -> ItemPopularity:
    return apply_signal(state, signal(kind, at_ms), half_life_ms=HALF_LIFE_MS)


def test_a_new_item_leaves_with_its_vectors_and_without_its_modalities() -> None:
    snapshot = take(ItemState(), ITEM)
    assert snapshot is not None
    assert snapshot.catalog is not None
    assert (snapshot.catalog.title, snapshot.catalog.text_embedding) == ("Lamp", None)
    assert (snapshot.version, snapshot.modalities) == (1, ("text",))
    assert np.frombuffer(snapshot.vector or b"", "<f4") == pytest.approx(
        VECTOR / np.linalg.norm(VECTOR), abs=1e-6
    )
    assert snapshot.unified == fuse({"text": VECTOR}).tobytes()
    assert (snapshot.timestamp_ms, snapshot.log_time_ms) == (NOW_MS, NOW_MS + 5)


def test_an_item_without_vectors_has_none() -> None:
    snapshot = take(ItemState(), replace(ITEM, text_embedding=None))
    assert snapshot is not None
    assert (snapshot.vector, snapshot.unified, snapshot.modalities) == (None, None, ())


def test_an_older_change_never_overwrites_a_newer_one() -> None:
    state = ItemState()
    take(state, ITEM)
    assert take(state, replace(ITEM, updated_at_ms=NOW_MS - 1, title="Old")) is None
    assert state.version == 1
    assert take(state, replace(ITEM, title="Same time, later in the log")) is not None


def test_a_deleted_item_stays_deleted_until_a_newer_change() -> None:
    state = ItemState()
    take(state, ITEM)
    gone = take(state, replace(ITEM, operation="delete", updated_at_ms=NOW_MS + 10))
    assert gone is not None
    assert (gone.version, gone.deleted, gone.catalog, gone.vector) == (2, True, None, None)
    assert take(state, replace(ITEM, updated_at_ms=NOW_MS + 9)) is None
    back = take(state, replace(ITEM, updated_at_ms=NOW_MS + 11))
    assert back is not None
    assert not back.deleted


def test_a_signal_tells_how_popular_its_item_is_now() -> None:
    moved = hear(ItemState(), "purchase", NOW_MS + 100)
    assert (moved.item_id, moved.version, moved.total_events) == ("i1", 1, 1)
    assert (moved.timestamp_ms, moved.log_time_ms) == (NOW_MS + 100, NOW_MS + 109)
    assert moved.popularity == pytest.approx(1.0)
    assert moved.popularity_at_ms == NOW_MS + 100


def test_a_late_event_counts_and_does_not_turn_back_the_time() -> None:
    state = ItemState()
    hear(state, "purchase")
    late = hear(state, "purchase", NOW_MS - HALF_LIFE_MS)
    assert (late.timestamp_ms, late.popularity_at_ms) == (NOW_MS - HALF_LIFE_MS, NOW_MS)
    assert late.popularity == pytest.approx(1.5)


def test_versions_do_not_depend_on_the_order_in_which_the_topics_are_read() -> None:
    one, other = ItemState(), ItemState()
    snapshot, moved = take(one, ITEM), hear(one, "click")
    assert hear(other, "click") == moved
    assert take(other, ITEM) == snapshot
    assert one == other


def test_popularity_halves_with_the_half_life() -> None:
    state = ItemState()
    hear(state, "purchase")
    later = hear(state, "dismiss", NOW_MS + HALF_LIFE_MS)
    assert later.popularity == pytest.approx(0.5)
    assert later.total_events == 2


def test_popularity_outlives_deletion() -> None:
    state = ItemState()
    before = hear(state, "purchase")
    take(state, replace(ITEM, operation="delete"))
    assert hear(state, "dismiss").trending == before.trending
    assert state.total_events == 2


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"item_id": ""}, "empty_id", "item_id is empty"),
        ({"item_id": "x" * 257}, "too_long", "256 bytes"),
        ({"price": -1.0}, "bad_price", "price is -1.0"),
        ({"price": float("nan")}, "bad_price", "nan"),
        ({"updated_at_ms": NOW_MS + 501}, "in_future", "501 ms ahead"),
        ({"image_embedding": b"abcd"}, "bad_vector", "image_embedding has 4 bytes"),
        ({"video_embedding": bytes(2048)}, "bad_vector", "video vector has length 0.0"),
        ({"audio_embedding": b"\xff" * 2048}, "bad_vector", "audio vector has length nan"),
    ],
)
def test_a_bad_item_is_refused_with_what_was_seen(
    change: dict[str, Any], reason: str, told: str
) -> None:
    item = replace(ITEM, **change)
    found = item_refusal(item, key=item.item_id.encode(), log_time_ms=NOW_MS, limits=LIMITS)
    assert found is not None
    assert found.reason == reason
    assert told in found.detail


def test_the_key_must_be_the_item() -> None:
    assert item_refusal(ITEM, key=b"i1", log_time_ms=NOW_MS, limits=LIMITS) is None
    for key in (None, b"i2"):
        found = item_refusal(ITEM, key=key, log_time_ms=NOW_MS, limits=LIMITS)
        assert found is not None
        assert found.reason == "wrong_key"
