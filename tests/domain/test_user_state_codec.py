from pathlib import Path

import numpy as np
import pytest

from domain.user_state import UserState, apply
from domain.user_state_codec import (
    FORMAT_VERSION,
    UserStateError,
    decode_user_state,
    encode_user_state,
)
from schemas.collections import USER_DIM
from schemas.types import EventType, UserEvent

GOLDEN = Path(__file__).parent / "golden"
START_MS = 1_700_000_000_000


def known_user() -> UserState:
    """A user of whom everything is known, the same in every run and on every machine."""
    state = UserState()
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
        apply(state, event, item_vector=item, log_time_ms=event.timestamp_ms)
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
            item_id="i1",
            session_id="s" * 36,
            device_type="mobile",
            page_type="item_detail",
            country="DE",
        )
        apply(state, event, item_vector=item, log_time_ms=event.timestamp_ms)
    return state


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_ever_written_is_read(version: int) -> None:
    stored = (GOLDEN / f"user_state_v{version}.bin").read_bytes()
    read, known = decode_user_state(stored), known_user()
    assert read.embedding.vector == pytest.approx(known.embedding.vector, abs=1e-6)
    assert read.embedding.momentum == pytest.approx(known.embedding.momentum, abs=1e-3)
    read.embedding, known.embedding = known.embedding, known.embedding
    assert encode_user_state(read) == encode_user_state(known)


def test_what_is_written_now_is_what_the_file_holds() -> None:
    """All but the last bits of the vectors, which the machine's arithmetic decides."""
    stored = (GOLDEN / f"user_state_v{FORMAT_VERSION}.bin").read_bytes()
    written = encode_user_state(known_user())
    vectors = USER_DIM * (4 + 2)
    assert len(written) == len(stored)
    assert written[:-vectors] == stored[:-vectors]


@pytest.mark.parametrize("state", [UserState(), known_user(), busy_user()])
def test_reading_gives_back_what_was_written(state: UserState) -> None:
    stored = encode_user_state(state)
    assert encode_user_state(decode_user_state(stored)) == stored


def test_a_user_takes_less_than_4_kib() -> None:
    assert len(encode_user_state(known_user())) < 4_096
    assert len(encode_user_state(busy_user())) < 4_608


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + encode_user_state(known_user())[1:]
    with pytest.raises(UserStateError, match="user state of format 2; this version reads 1"):
        decode_user_state(stored)


@pytest.mark.parametrize("size", [1, 40, 86, 100, 700, -1])
def test_cut_bytes_are_named(size: int) -> None:
    stored = encode_user_state(known_user())[:size]
    with pytest.raises(UserStateError, match=f"{len(stored)} bytes of user state are damaged"):
        decode_user_state(stored)


def test_bytes_too_many_are_named() -> None:
    with pytest.raises(UserStateError, match="1 bytes too many"):
        decode_user_state(encode_user_state(known_user()) + b"x")
