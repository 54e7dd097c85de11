"""A log lived again by small folds: what is handed on, when who is woken, and what is kept."""

# ruff: noqa: ARG002 (folds take what every fold takes)

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from freshet.backfill import Backfill, BackfillJob
from freshet.backfill_sinks import LastMessages, last_file
from freshet.backfill_states import KeptBytes, rows_of
from operators.fold import Counting, Outgoing
from operators.messages import Incoming
from schemas.topics import ITEM_SIGNALS, ITEMS, TICK_KEY, USER_EVENTS, USER_SNAPSHOTS
from stores.event_log import LogMessage
from stores.log_producer import Position


class Counts:
    """Counts messages; tells the second job of each, and is due 100 ms after its last one."""

    job = "first"

    def empty(self) -> list[int]:
        return [0, 0]

    def decode(self, stored: bytes) -> list[int]:
        return [int(part) for part in stored.split(b",")]

    def encode(self, state: list[int]) -> bytes:
        return b"%d,%d" % tuple(state)

    def step(self, state: list[int], message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        counters.count("accepted")
        state[:] = [state[0] + 1, message.log_time_ms]
        yield Outgoing(USER_SNAPSHOTS.name, message.key or b"", b"%d" % state[0])
        yield Outgoing(ITEM_SIGNALS.name, b"item", message.key)

    def due_ms(self, state: list[int]) -> int | None:
        return state[1] + 100 if state[1] else None

    def wake(self, state: list[int], log_time_ms: int, counters: Counting) -> Iterator[Outgoing]:
        counters.count("woken")
        due_ms, state[1] = state[1] + 100, 0
        yield Outgoing(ITEM_SIGNALS.name, b"item", b"late %d" % due_ms)


class Lists:
    """Keeps what it was told."""

    job = "second"

    def empty(self) -> list[bytes]:
        return []

    def decode(self, stored: bytes) -> list[bytes]:
        return stored.split(b"|")

    def encode(self, state: list[bytes]) -> bytes:
        return b"|".join(state)

    def step(self, state: list[bytes], message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        state.append(b"%d:%s" % (message.log_time_ms, message.value or b""))
        return ()

    def due_ms(self, state: list[bytes]) -> int | None:
        return None

    def wake(self, state: list[bytes], log_time_ms: int, counters: Counting) -> Iterable[Outgoing]:
        return ()


def message(key: str, at_ms: int, topic: str = USER_EVENTS.name) -> LogMessage:
    place = Position(topic=topic, partition=0, offset=at_ms, log_time_ms=at_ms)
    return LogMessage(position=place, key=key.encode(), value=b"value")


def backfill_of(
    told: list[tuple[str, int]],
) -> tuple[Backfill, dict[bytes, bytes], dict[bytes, bytes]]:
    first: dict[bytes, bytes] = {}
    second: dict[bytes, bytes] = {}
    jobs = [
        BackfillJob(name="first", topics=(USER_EVENTS,), fold=Counts(), states=first),
        BackfillJob(name="second", topics=(ITEMS, ITEM_SIGNALS), fold=Lists(), states=second),
    ]
    made = Backfill(jobs, tell=lambda out, at_ms: told.append((out.topic, at_ms)))
    return made, first, second


def test_what_one_job_tells_another_is_handed_on_at_its_log_time() -> None:
    told: list[tuple[str, int]] = []
    backfill, first, second = backfill_of(told)
    backfill.live([message("u1", 1_000), message("u2", 1_010), message("lamp", 1_020, ITEMS.name)])
    assert first == {b"u1": b"1,1000", b"u2": b"1,1010"}
    assert second == {b"item": b"1000:u1|1010:u2", b"lamp": b"1020:value"}
    assert told == [
        (USER_SNAPSHOTS.name, 1_000),
        (ITEM_SIGNALS.name, 1_000),
        (USER_SNAPSHOTS.name, 1_010),
        (ITEM_SIGNALS.name, 1_010),
    ]
    assert backfill.counters["first"] == {"accepted": 2}


def test_whoever_was_due_is_woken_before_the_next_message_of_any_key() -> None:
    backfill, _, second = backfill_of([])
    backfill.live([message("u1", 1_000), message("lamp", 1_101, ITEMS.name)])
    assert second[b"item"] == b"1000:u1|1100:late 1100"
    backfill.take(message("u1", 1_150))
    assert second[b"item"].endswith(b"|1150:u1")


def test_nobody_is_woken_before_their_time_has_passed() -> None:
    backfill, _, second = backfill_of([])
    backfill.live([message("u1", 1_000), message("u2", 1_100)])
    assert second[b"item"] == b"1000:u1|1100:u2"
    backfill.pass_time(1_100)
    assert second[b"item"].endswith(b"|1100:late 1100")
    backfill.pass_time(1_050)


def test_a_tick_lets_time_pass_and_is_nobodys_message() -> None:
    backfill, first, second = backfill_of([])
    tick = replace(message("u1", 1_101), key=TICK_KEY, value=None)
    backfill.live([message("u1", 1_000), tick])
    backfill.know(tick)
    assert first.keys() == {b"u1"}
    assert second == {b"item": b"1000:u1|1100:late 1100"}


def test_a_message_that_no_job_reads_changes_nothing() -> None:
    backfill, first, second = backfill_of([])
    backfill.take(message("u1", 1_000, USER_SNAPSHOTS.name))
    assert (first, second) == ({}, {})


def test_the_last_message_of_each_key_is_kept_of_absolute_topics(tmp_path: Path) -> None:
    with LastMessages(tmp_path) as last:
        for payload in (b"1", b"2"):
            last.tell(Outgoing(USER_SNAPSHOTS.name, b"u1", payload), 5)
        last.tell(Outgoing(ITEM_SIGNALS.name, b"i1", b"delta"), 5)
    assert list(rows_of(last_file(tmp_path, USER_SNAPSHOTS.name))) == [(b"u1", b"2")]
    assert not last_file(tmp_path, ITEM_SIGNALS.name).exists()


@pytest.mark.parametrize("cached", [1, 2, 100])
def test_kept_bytes_are_a_mapping_whatever_fits_into_memory(tmp_path: Path, cached: int) -> None:
    file, plain = tmp_path / "a" / "kept.sqlite", dict[bytes, bytes]()
    with KeptBytes(file, cached=cached) as kept:
        for number in range(200):
            key = b"k%d" % (number * 7 % 13)
            if number % 5 == 4:
                assert kept.pop(key, None) == plain.pop(key, None)
            else:
                kept[key] = plain[key] = b"v%d" % number
            assert kept.get(b"k3") == plain.get(b"k3")
        assert (dict(kept), len(kept)) == (plain, len(plain))
        with pytest.raises(KeyError):
            del kept[b"nothing"]
    assert list(rows_of(file)) == sorted(plain.items())


def test_a_file_is_made_anew(tmp_path: Path) -> None:
    for key in (b"old", b"new"):
        with KeptBytes(tmp_path / "kept.sqlite") as kept:
            kept[key] = b""
    assert list(rows_of(tmp_path / "kept.sqlite")) == [(b"new", b"")]
