"""The operator in a runtime as small as it needs: map states and timers by bucket, and counters."""

import pickle
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from operators import bucket
from operators.flink import DUE_STEP_MS, FoldOperator
from operators.fold import Outgoing
from operators.frames import framed, outgoing_of
from operators.messages import Incoming
from schemas.codec import decode
from schemas.types import DeadLetter
from tests.operators.counts import QUIET_MS, WordFold

NOW_MS = 1_700_000_000_000


class FakeMapState:
    def __init__(self, runtime: "FakeRuntime") -> None:
        self.runtime = runtime
        self.by_bucket: dict[int, dict[str, Any]] = {}
        self.accesses: Counter[str] = Counter()

    @property
    def entries(self) -> dict[str, Any]:
        return self.by_bucket.setdefault(self.runtime.bucket, {})

    def get(self, key: str) -> Any:
        self.accesses["get"] += 1
        return self.entries.get(key)

    def put(self, key: str, value: Any) -> None:
        self.accesses["put"] += 1
        self.entries[key] = value

    def remove(self, key: str) -> None:
        self.entries.pop(key, None)

    def items(self) -> Any:
        return self.entries.items()


@dataclass
class FakeMetrics:
    counters: Counter[str] = field(default_factory=Counter)
    prefix: str = ""

    def add_group(self, name: str, value: str) -> "FakeMetrics":
        return FakeMetrics(self.counters, f"{self.prefix}{name}={value}.")

    def counter(self, name: str) -> "FakeCounter":
        return FakeCounter(self.counters, self.prefix + name)


@dataclass
class FakeCounter:
    counters: Counter[str]
    name: str

    def inc(self, by: int) -> None:
        self.counters[self.name] += by


class FakeRuntime:
    """Opens operators, hands them groups, and fires their timers; what is stored outlives them."""

    def __init__(self) -> None:
        self.bucket = 0
        self.states: dict[str, FakeMapState] = {}
        self.timers: set[tuple[int, int]] = set()
        self.registered: list[tuple[int, int]] = []
        self.metrics = FakeMetrics()
        self._offsets = count()

    def open(self, *, cached: int = 100) -> None:
        self.fold = WordFold()
        self.operator = FoldOperator(lambda: self.fold, cached=cached)
        self.operator.open(self)

    def get_map_state(self, descriptor: Any) -> FakeMapState:
        return self.states.setdefault(descriptor.name, FakeMapState(self))

    def get_metrics_group(self) -> FakeMetrics:
        return self.metrics

    def get_current_key(self) -> int:
        return self.bucket

    def timer_service(self) -> "FakeRuntime":
        return self

    def register_event_time_timer(self, at_ms: int) -> None:
        self.registered.append((at_ms, self.bucket))
        self.timers.add((at_ms, self.bucket))

    def group(self, *words: tuple[bytes | None, bytes | None], bucket: int = 0) -> list[Outgoing]:
        messages = (
            Incoming(key, value, "words", 3, next(self._offsets), NOW_MS) for key, value in words
        )
        return self._send(b"".join(map(framed, messages)), bucket)

    def marker(self, bucket: int = 0) -> list[Outgoing]:
        return self._send(b"", bucket)

    def pass_time(self, log_time_ms: int) -> list[Outgoing]:
        out = []
        while due := sorted(timer for timer in self.timers if timer[0] <= log_time_ms):
            self.timers.discard(due[0])
            at_ms, self.bucket = due[0]
            out += self._split(self.operator.on_timer(at_ms, self))
        return out

    def stored(self, bucket: int = 0) -> dict[str, Any]:
        return self.states["states"].by_bucket.get(bucket, {})

    def _send(self, group: bytes, bucket: int) -> list[Outgoing]:
        self.bucket = bucket
        return self._split(self.operator.process_element(group, self))

    def _split(self, groups: Any) -> list[Outgoing]:
        return [one for group in groups for one in outgoing_of(group)]


@pytest.fixture
def quiet_flink() -> FakeRuntime:
    """Of so few messages that states are written in between."""
    runtime = FakeRuntime()
    runtime.open()
    return runtime


@pytest.fixture
def flink(quiet_flink: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    """Of so many messages that states wait for the barrier."""
    monkeypatch.setattr(bucket, "FEW_MESSAGES", 0)
    return quiet_flink


def payloads(outgoing: list[Outgoing]) -> list[bytes | None]:
    return [one.payload for one in outgoing]


def reasons(outgoing: list[Outgoing]) -> list[str]:
    return [decode(one.payload or b"", DeadLetter).reason for one in outgoing]


def test_a_group_is_taken_in_order_and_leaves_as_one(flink: FakeRuntime) -> None:
    out = flink.group((b"a", b"x"), (b"b", b"x"), (b"a", b"y"))
    assert out == [
        Outgoing("counts", b"a", b"1"),
        Outgoing("counts", b"b", b"1"),
        Outgoing("counts", b"a", b"2"),
    ]


def test_states_are_written_when_a_barrier_comes_and_not_before(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), (b"b", b"x"))
    flink.group((b"a", b"x"))
    assert flink.stored() == {}
    assert flink.marker() == []
    quiet_ms = NOW_MS + QUIET_MS
    assert flink.stored() == {"a": b"2,%d" % quiet_ms, "b": b"1,%d" % quiet_ms}
    flink.marker()
    assert flink.states["states"].accesses["put"] == 2


def test_where_messages_are_few_states_are_written_in_between(quiet_flink: FakeRuntime) -> None:
    for key in (b"a", b"b", b"a", b"c", b"c"):
        quiet_flink.group((key, b"x"))
    # The one that changed last may well change again, and waits.
    quiet_ms = NOW_MS + QUIET_MS
    assert quiet_flink.stored() == {"a": b"2,%d" % quiet_ms, "b": b"1,%d" % quiet_ms}
    quiet_flink.marker()
    assert quiet_flink.stored()["c"].startswith(b"2,")
    accesses = quiet_flink.states["states"].accesses
    assert accesses["put"] == 4
    quiet_flink.marker()
    assert accesses["put"] == 4


def test_where_messages_are_many_none_is_written_before_the_barrier(
    quiet_flink: FakeRuntime,
) -> None:
    quiet_flink.group(*((b"%d" % number, b"x") for number in range(bucket.FEW_MESSAGES + 1)))
    assert quiet_flink.stored() == {}


def test_buckets_keep_their_keys_apart(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), bucket=0)
    assert payloads(flink.group((b"a", b"x"), bucket=1)) == [b"1"]
    flink.marker(1)
    assert (flink.stored(0), list(flink.stored(1))) == ({}, ["a"])


def test_another_operator_goes_on_from_what_was_written(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), (b"\xff\xfe", b"x"))
    flink.marker()
    flink.open()
    out = flink.group((b"a", b"x"), (b"\xff\xfe", b"x"))
    assert payloads(out) == [b"2", b"2"]


def test_a_state_in_memory_is_neither_read_nor_decoded_again(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"))
    flink.marker()
    flink.group(*[(b"a", b"x")] * 5)
    assert (flink.fold.decoded, flink.states["states"].accesses["get"]) == (0, 1)


def test_no_more_states_than_allowed_stay_and_none_is_lost(flink: FakeRuntime) -> None:
    flink.open(cached=2)
    for key in (b"a", b"b", b"c"):
        flink.group((key, b"x"))
    assert list(flink.stored()) == ["a"]
    assert payloads(flink.group((b"a", b"x"))) == [b"2"]
    assert list(flink.stored()) == ["a", "b"]


def test_the_longest_unused_leaves_first(flink: FakeRuntime) -> None:
    flink.open(cached=2)
    for key in (b"a", b"b", b"a", b"c"):
        flink.group((key, b"x"))
    assert list(flink.stored()) == ["b"]


def test_buckets_share_the_states_in_memory(flink: FakeRuntime) -> None:
    flink.open(cached=2)
    flink.group((b"a", b"x"), (b"b", b"x"), bucket=0)
    flink.group((b"c", b"x"), bucket=1)
    flink.group((b"b", b"x"), bucket=0)
    assert list(flink.stored(0)) == ["a"]


def test_a_key_with_many_messages_is_written_in_between(flink: FakeRuntime) -> None:
    flink.group(*[(b"a", b"x")] * 66)
    assert flink.stored()["a"].startswith(b"65,")


def test_a_large_message_is_not_kept_until_the_barrier(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x" * 65_537), (b"b", b"x" * 65_536))
    assert list(flink.stored()) == ["a"]


def test_what_is_forgotten_is_removed(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"))
    flink.marker()
    flink.group((b"a", b"forget"))
    flink.marker()
    assert flink.stored() == {}
    assert flink.states["dues"].by_bucket[0] == {}


def test_what_is_refused_becomes_a_dead_letter_and_keeps_no_key(flink: FakeRuntime) -> None:
    out = flink.group((None, None), (b"a", b"x"))
    assert reasons(out[:1]) == ["empty"]
    flink.marker()
    assert list(flink.stored()) == ["a"]


def test_a_bug_costs_the_message_and_leaves_the_state(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"))
    flink.marker()
    out = flink.group((b"a", b"x"), (b"a", b"boom"), (b"a", b"x"))
    letter = decode(out[1].payload or b"", DeadLetter)
    assert (letter.reason, letter.detail, letter.offset) == (
        "internal",
        "ZeroDivisionError: boom",
        2,
    )
    assert [out[0].payload, out[2].payload] == [b"2", b"3"]


def test_a_state_that_cannot_be_written_costs_the_message_that_made_it(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), (b"a", b"sour"), (b"a", b"x"))
    (dead,) = flink.marker()
    letter = decode(dead.payload or b"", DeadLetter)
    assert (letter.detail, letter.offset) == ("OverflowError: 1001 words", 1)
    assert flink.stored()["a"].startswith(b"2,")
    assert payloads(flink.group((b"a", b"x"))) == [b"3"]


def test_a_key_is_woken_once_the_log_has_passed_its_time(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), (b"b", b"x"))
    flink.group((b"a", b"x"))
    ((at_ms, _),) = flink.registered
    assert NOW_MS + QUIET_MS <= at_ms < NOW_MS + QUIET_MS + DUE_STEP_MS
    assert flink.pass_time(at_ms - 1) == []
    assert [one.topic for one in flink.pass_time(at_ms)] == ["quiet", "quiet"]
    assert flink.timers == set()
    # The bucket had messages, so a barrier will have it written; once is enough.
    assert flink.stored() == {}
    flink.marker()
    assert flink.stored() == {"a": b"2,0", "b": b"1,0"}
    assert flink.states["dues"].by_bucket[0] == {}


def test_who_is_woken_after_a_barrier_is_written_at_once(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"))
    flink.marker()
    assert [one.topic for one in flink.pass_time(NOW_MS * 2)] == ["quiet"]
    assert flink.stored() == {"a": b"1,0"}
    assert flink.states["dues"].by_bucket[0] == {}


def test_who_is_due_is_remembered_over_a_restart(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), bucket=1)
    flink.marker(1)
    flink.open()
    assert [one.topic for one in flink.pass_time(NOW_MS * 2)] == ["quiet"]


def test_a_bug_in_waking_is_told_once_and_sleeps_until_a_message(flink: FakeRuntime) -> None:
    flink.group(*[(b"a", b"x")] * 13)
    out = flink.pass_time(NOW_MS * 2)
    assert reasons(out) == ["internal"]
    assert decode(out[0].payload or b"", DeadLetter).topic == "words.wake"
    assert flink.timers == set()
    flink.group((b"a", b"x"))
    assert [one.topic for one in flink.pass_time(NOW_MS * 2)] == ["quiet"]


def test_counters_are_told(flink: FakeRuntime) -> None:
    flink.group((b"a", b"x"), (b"a", None), (b"b", b"x"))
    flink.marker()
    flink.operator.close()
    counters = flink.metrics.counters
    assert counters.pop("python_ns") > 0
    assert counters == {
        "accepted": 2,
        "cache_misses": 2,
        "events": 3,
        "groups": 1,
        "reason=empty.dead_letters": 1,
        "state_bytes_written": 30,
        "states_written": 2,
    }


def test_the_operator_travels_to_the_cluster() -> None:
    operator = FoldOperator(WordFold, cached=1, lifetime_days=1)
    assert isinstance(pickle.loads(pickle.dumps(operator)), FoldOperator)
