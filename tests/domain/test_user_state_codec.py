import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.embedding import Vector
from domain.user_state import UserState, apply
from domain.user_state_codec import (
    FORMAT_VERSION,
    UserStateError,
    decode_user_state,
    encode_user_state,
)
from schemas.collections import SESSION_DIM, USER_DIM
from schemas.types import EventType, Impression, ShownItem, UserEvent

GOLDEN = Path(__file__).parent / "golden"
START_MS = 1_700_000_000_000


class Item:
    """What a catalogue says."""

    def __init__(self, vector: Vector, *, category: str | None = None, price: float | None = None):
        self.vector, self.category, self.price = vector, category, price


def known_user(*, with_catalogue: bool = True) -> UserState:
    """A user of whom everything is known, the same in every run and on every machine.

    What version 1 could not hold depends on what the catalogue and the showings say.
    """
    state = UserState()
    if with_catalogue:
        shown = ShownItem(item_id="i1", rank=1, score=0.5, source="content", propensity=0.5)
        answer = Impression(request_id="r1", user_id="u1", timestamp_ms=START_MS, items=(shown,))
        state.showings.show(answer, log_time_ms=START_MS)
    kinds: tuple[EventType, ...] = (
        "view",
        "click",
        "view",
        "add_to_cart",
        "view",
        "purchase",
        "dismiss",
        "search",
    )
    for n in range(40):
        item = np.zeros(USER_DIM, dtype=np.float32)
        item[n % 8] = 1.0
        event = UserEvent(
            event_id=f"e{n}",
            user_id="u1",
            event_type=kinds[n % 8],
            timestamp_ms=START_MS + n * 131_000,
            item_id=f"i{n % 8}",
            session_id="sitzung-ü",
            device_type="mobile",
            page_type="home",
            country="DE",
            consent=True if n == 0 else None,
        )
        if with_catalogue:
            event = replace(event, duration_ms=100 * n)
        known = Item(item, category=f"c{n % 3}", price=1.0 + n) if with_catalogue else Item(item)
        apply(state, event, item=known, log_time_ms=event.timestamp_ms)
    return state


def busy_user() -> UserState:
    """A heavy day: 960 events of four types, all ids and labels long."""
    state = UserState()
    rng = np.random.default_rng(0)
    kinds: tuple[EventType, ...] = ("view", "click", "view", "add_to_cart")
    for n in range(960):
        item = rng.standard_normal(USER_DIM).astype(np.float32)
        event = UserEvent(
            event_id=f"{n:036d}",
            user_id="u1",
            event_type=kinds[n % 4],
            timestamp_ms=START_MS + n * 90_000,
            item_id=f"item-{n % 150}",
            duration_ms=n,
            session_id="s" * 36,
            device_type="mobile",
            page_type="item_detail",
            country="DE",
        )
        known = Item(item, category=f"category-{n % 12}", price=1.0 + n % 40)
        apply(state, event, item=known, log_time_ms=event.timestamp_ms)
        state.showings.expire(event.timestamp_ms)
    return state


def golden(version: int) -> bytes:
    return (GOLDEN / f"user_state_v{version}.bin").read_bytes()


def test_the_first_version_is_read_into_the_present_one() -> None:
    """The same user, had they lived with the present version, but for what is new in it."""
    read, known = decode_user_state(golden(1)), known_user(with_catalogue=False)
    assert read.embedding.vector == pytest.approx(known.embedding.vector, abs=1e-3)
    assert read.embedding.momentum is not None
    assert known.embedding.momentum is not None
    expected = known.embedding.momentum.step.times(1.0)
    assert read.embedding.momentum.step.times(1.0) == pytest.approx(expected, abs=1e-3)
    assert read.embedding.momentum.at_ms == known.embedding.momentum.at_ms
    now_ms = START_MS + 40 * 131_000
    assert read.windows.counts(now_ms) == known.windows.counts(now_ms)
    for name in ("version", "first_seen_ms", "latest_ms", "total_interactions", "total_sessions"):
        assert getattr(read, name) == getattr(known, name)
    for name in ("consent", "device_type", "page_type", "country", "recent_ids"):
        assert getattr(read, name) == getattr(known, name)
    for name in ("session_id", "start_ms", "last_ms", "interactions"):
        assert getattr(read.session, name) == getattr(known.session, name)


def test_a_user_of_the_first_version_lives_on() -> None:
    state = decode_user_state(golden(1))
    event = UserEvent(
        event_id="new", user_id="u1", event_type="click", timestamp_ms=START_MS + 41 * 131_000
    )
    snapshot = apply(state, event, item=None, log_time_ms=event.timestamp_ms).snapshot
    assert snapshot is not None
    assert snapshot.version == 41
    stored = encode_user_state(state)
    assert stored[0] == FORMAT_VERSION
    assert encode_user_state(decode_user_state(stored)) == stored


def test_what_is_written_now_is_what_the_file_holds() -> None:
    """All but the last bits of the vectors, which the machine's arithmetic decides."""
    stored, written = golden(FORMAT_VERSION), encode_user_state(known_user())
    vectors = 12 + USER_DIM * 2 + USER_DIM * 3 + SESSION_DIM * 3 // 2 + 2 * 20
    assert len(written) == len(stored)
    assert written[:-vectors] == stored[:-vectors]
    read, known = decode_user_state(stored), known_user()
    assert read.embedding.vector == pytest.approx(known.embedding.vector, abs=1e-3)
    assert read.embedding.day.vector is not None
    assert known.embedding.day.vector is not None
    expected = known.embedding.day.vector.times(1.0)
    assert read.embedding.day.vector.times(1.0) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("state", [UserState(), known_user(), busy_user()])
def test_reading_gives_back_what_was_written(state: UserState) -> None:
    stored = encode_user_state(state)
    assert encode_user_state(decode_user_state(stored)) == stored


def sizes_of_a_population() -> list[int]:
    """Most come once, some daily for hours; everyone's state as they left it."""
    rng, numbers, sizes = random.Random(3), np.random.default_rng(3), []
    items = [numbers.standard_normal(USER_DIM).astype(np.float32) for _ in range(20)]
    for _ in range(150):
        state, at_ms, number = UserState(), START_MS, 0
        for visit in range(max(1, round(rng.paretovariate(1.2)))):
            at_ms += rng.randrange(2, 72) * 3_600_000
            for _ in range(min(200, max(1, round(rng.lognormvariate(1.8, 0.9))))):
                at_ms += round(rng.expovariate(1 / 45_000))
                number += 1
                which = rng.randrange(400)
                kind = rng.choices(("view", "click", "add_to_cart", "search"), (70, 20, 5, 5))[0]
                event = UserEvent(
                    event_id=f"{number:032x}",
                    user_id="u",
                    event_type=kind,  # type: ignore[arg-type]
                    timestamp_ms=at_ms,
                    item_id=None if kind == "search" else f"item-{which}",
                    session_id=f"session-{visit:08d}",
                    device_type="mobile",
                    page_type="home",
                    country="DE",
                    duration_ms=rng.randrange(60_000) if kind == "view" else None,
                )
                known = Item(items[which % 20], category=f"category-{which % 12}", price=9.5)
                apply(state, event, item=known, log_time_ms=at_ms)
                state.showings.expire(at_ms)
        sizes.append(len(encode_user_state(state)))
    return sizes


def test_a_user_takes_less_than_4_kib_on_average() -> None:
    sizes = sizes_of_a_population()
    assert sum(sizes) / len(sizes) < 4_096
    assert len(encode_user_state(busy_user())) < 6_144


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + encode_user_state(known_user())[1:]
    with pytest.raises(UserStateError, match="user state of format 3; this version reads 2"):
        decode_user_state(stored)


@pytest.mark.parametrize("size", [1, 40, 86, 100, 700, -1])
def test_cut_bytes_are_named(size: int) -> None:
    stored = encode_user_state(known_user())[:size]
    with pytest.raises(UserStateError, match=f"{len(stored)} bytes of user state are damaged"):
        decode_user_state(stored)


def test_bytes_too_many_are_named() -> None:
    with pytest.raises(UserStateError, match="1 bytes too many"):
        decode_user_state(encode_user_state(known_user()) + b"x")
