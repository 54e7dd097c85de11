from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from domain import user_state as domain
from domain.embedding import Vector
from domain.user_state_codec import UserStateError, decode_user_state
from operators import user_state as module
from operators.user_state import UserFold
from schemas.codec import encode
from schemas.topics import (
    BANDIT_UPDATES,
    EMBEDDING_UPDATES,
    ITEM_SIGNALS,
    PERSONALIZATION_RESULTS,
    USER_EVENTS,
    USER_SNAPSHOTS,
)
from schemas.types import (
    BanditUpdate,
    EmbeddingUpdate,
    Impression,
    ItemEvent,
    ItemSignal,
    ShownItem,
    UserEvent,
    UserSnapshot,
)

NOW_MS = 1_700_000_000_000
EVENT = UserEvent(
    event_id="e1", user_id="u1", event_type="click", timestamp_ms=NOW_MS - 50, item_id="i1"
)
UNIT: Vector = np.eye(1, 512, dtype=np.float32)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    vector: Vector | None = None
    category: str | None = None
    price: float | None = None


@dataclass
class KnownItems:
    items: dict[str, Item] = field(default_factory=lambda: {"i1": Item(vector=UNIT)})
    asked: list[str] = field(default_factory=list)

    def get(self, item_id: str) -> Item | None:
        self.asked.append(item_id)
        return self.items.get(item_id)


@pytest.fixture
def items() -> KnownItems:
    return KnownItems()


@pytest.fixture
def lived(run: Callable[[Any], Any], items: KnownItems) -> Any:
    return run(
        UserFold(
            items,
            max_age_ms=86_400_000,
            max_ahead_ms=1_000,
            dedup_ids=10,
        )
    )


def send(lived: Any, event: UserEvent) -> list[Any]:
    out: list[Any] = lived.send(USER_EVENTS.name, encode(event), key=event.user_id.encode())
    return out


def test_an_event_gives_a_vector_a_snapshot_and_a_signal(lived: Any) -> None:
    out = send(lived, EVENT)
    assert [(topic, key) for topic, key, _ in out] == [
        (EMBEDDING_UPDATES.name, "u1"),
        (USER_SNAPSHOTS.name, "u1"),
        (ITEM_SIGNALS.name, "i1"),
    ]
    update, snapshot, signal = (record for _, _, record in out)
    assert isinstance(update, EmbeddingUpdate)
    assert np.frombuffer(update.embedding.vector, "<f4") == pytest.approx(UNIT)
    assert isinstance(snapshot, UserSnapshot)
    assert (snapshot.version, snapshot.log_time_ms) == (1, NOW_MS)
    assert isinstance(signal, ItemSignal)
    assert (signal.event_type, signal.log_time_ms) == ("click", NOW_MS)
    assert lived.counters == {"accepted": 1}


def test_state_is_kept_by_user(lived: Any) -> None:
    for number in range(3):
        send(lived, replace(EVENT, event_id=f"a{number}"))
    (_, _, snapshot) = send(lived, replace(EVENT, event_id="b", user_id="u2"))[1]
    assert snapshot.version == 1
    (_, _, snapshot) = send(lived, replace(EVENT, event_id="a4"))[1]
    assert snapshot.version == 4
    assert set(lived.states) == {b"u1", b"u2"}


def test_a_duplicate_gives_nothing_and_writes_nothing(lived: Any) -> None:
    send(lived, EVENT)
    before = lived.states[b"u1"]
    assert send(lived, EVENT) == []
    assert lived.states[b"u1"] == before
    assert lived.counters == {"accepted": 1, "duplicates": 1}


def test_an_unknown_item_is_counted_and_teaches_nothing(lived: Any) -> None:
    out = send(lived, replace(EVENT, item_id="i2"))
    assert [topic for topic, _, _ in out] == [USER_SNAPSHOTS.name, ITEM_SIGNALS.name]
    assert lived.counters == {"accepted": 1, "unknown_items": 1}


@pytest.mark.parametrize("change", [{"item_id": None}, {"event_type": "scroll"}])
def test_a_vector_is_asked_for_only_where_it_is_used(
    lived: Any, items: KnownItems, change: dict[str, Any]
) -> None:
    send(lived, replace(EVENT, **change))
    assert items.asked == []


def test_a_late_event_is_counted(lived: Any) -> None:
    send(lived, EVENT)
    send(lived, replace(EVENT, event_id="e2", timestamp_ms=NOW_MS - 600_000))
    assert lived.counters["late"] == 1


GOOD = encode(EVENT)


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, b"u1", "empty"),
        (b"", b"u1", "empty"),
        (b'{"user_id": "u1"}', b"u1", "not_avro"),
        (b"\xc3\x01" + bytes(8), b"u1", "unknown_schema"),
        (encode(ItemEvent(item_id="i1", updated_at_ms=1)), b"u1", "wrong_schema"),
        (GOOD[:-3], b"u1", "corrupt"),
        (GOOD + b"more", b"u1", "corrupt"),
        (GOOD.replace(b"u1", b"\xff\xff"), b"u1", "bad_utf8"),
        (GOOD, b"u2", "wrong_key"),
        (GOOD, None, "wrong_key"),
        (GOOD, b"\xff\xfe", "wrong_key"),
        (encode(replace(EVENT, timestamp_ms=NOW_MS - 10**11)), b"u1", "too_old"),
        (encode(replace(EVENT, timestamp_ms=NOW_MS + 1_001)), b"u1", "in_future"),
        (encode(replace(EVENT, duration_ms=-1)), b"u1", "bad_duration"),
    ],
)
def test_what_cannot_be_used_becomes_a_dead_letter(
    lived: Any, value: bytes | None, key: bytes | None, reason: str
) -> None:
    letter = lived.send_bad(USER_EVENTS.name, value, key=key)
    assert (letter.reason, letter.job, letter.key) == (reason, "user_state", key)
    assert (letter.topic, letter.partition, letter.offset) == (USER_EVENTS.name, 3, 0)
    assert letter.log_time_ms == NOW_MS
    assert letter.payload == (value or b"")
    assert letter.detail
    assert lived.counters == {f"dead_letters.{reason}": 1}
    assert lived.states == {}


def test_a_huge_message_is_cut(lived: Any) -> None:
    value, key = b"x" * 1_048_576, b"k" * 500_000
    letter = lived.send_bad(USER_EVENTS.name, value, key=key)
    assert (len(letter.payload), letter.payload_size) == (65_536, 1_048_576)
    assert len(letter.key) == 1_024
    assert len(encode(letter)) < 70_000


def test_the_largest_event_is_taken(lived: Any) -> None:
    out = send(lived, replace(EVENT, text="x" * 1_000_000, context={"k" * 1_000: "v" * 10_000}))
    assert sum(len(encode(record)) for _, _, record in out) < 5_120


def test_a_bug_costs_the_record_and_not_the_job(
    lived: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(lived, EVENT)

    def broken(*_args: object, **_kwargs: object) -> domain.Outcome:
        raise KeyError("size")

    monkeypatch.setattr(module, "apply", broken)
    second = replace(EVENT, event_id="e2")
    letter = lived.send_bad(USER_EVENTS.name, encode(second), key=b"u1")
    assert (letter.reason, letter.detail) == ("internal", "KeyError: 'size'")
    monkeypatch.undo()
    (_, _, snapshot) = send(lived, second)[1]
    assert snapshot.version == 2


ANSWER = Impression(
    request_id="r1",
    user_id="u1",
    timestamp_ms=NOW_MS,
    context_segment="mobile",
    items=tuple(
        ShownItem(item_id=f"i{place}", rank=place, score=0.5, source="content") for place in (1, 2)
    ),
)


def show(lived: Any, answer: Impression = ANSWER, *, log_time_ms: int = NOW_MS) -> list[Any]:
    out: list[Any] = lived.send(
        PERSONALIZATION_RESULTS.name,
        encode(answer),
        key=answer.user_id.encode(),
        log_time_ms=log_time_ms,
    )
    return out


def rewards(out: list[Any]) -> list[tuple[str, str, float]]:
    return [
        (key, record.update_id, round(record.reward, 6))
        for topic, key, record in out
        if topic == BANDIT_UPDATES.name and isinstance(record, BanditUpdate)
    ]


def test_a_reaction_and_a_silence_give_their_rewards_once(lived: Any) -> None:
    assert show(lived) == []
    told = rewards(send(lived, replace(EVENT, request_id="r1")))
    assert [(key, reward) for key, _, reward in told] == [("i1:mobile", 0.3)]
    assert rewards(send(lived, replace(EVENT, request_id="r1"))) == []
    told = rewards(lived.pass_time(NOW_MS + 1_800_000))
    assert [(key, reward) for key, _, reward in told] == [("i2:mobile", 0.0)]
    assert lived.pass_time(NOW_MS + 9_000_000) == []
    assert lived.counters["impressions"] == 1


def test_a_showing_touches_nothing_but_the_showings(lived: Any) -> None:
    show(lived)
    assert decode_user_state(lived.states[b"u1"]).version == 0
    lived.pass_time(NOW_MS + 1_800_000)
    assert lived.states == {}


def test_a_user_who_does_not_consent_gives_no_rewards(lived: Any) -> None:
    send(lived, replace(EVENT, event_id="no", consent=False))
    assert show(lived) == []
    assert rewards(send(lived, replace(EVENT, request_id="r1"))) == []
    assert rewards(lived.pass_time(NOW_MS + 9_000_000)) == []
    assert lived.counters["impressions_without_consent"] == 1


@pytest.mark.parametrize(
    ("answer", "key", "reason"),
    [
        (ANSWER, b"u2", "wrong_key"),
        (replace(ANSWER, request_id=""), b"u1", "empty_id"),
        (replace(ANSWER, request_id="r" * 300), b"u1", "too_long"),
        (replace(ANSWER, items=(replace(ANSWER.items[0], item_id=""),)), b"u1", "empty_id"),
    ],
)
def test_an_answer_that_cannot_be_used_becomes_a_dead_letter(
    lived: Any, answer: Impression, key: bytes, reason: str
) -> None:
    letter = lived.send_bad(PERSONALIZATION_RESULTS.name, encode(answer), key=key)
    assert letter.reason == reason
    assert lived.states == {}


def test_an_erased_user_leaves_no_state_and_no_timer(lived: Any) -> None:
    show(lived)
    send(lived, replace(EVENT, request_id="r1"))
    out = send(lived, replace(EVENT, event_id="bye", event_type="erase"))
    update, snapshot = (record for _, _, record in out)
    assert (update.erased, snapshot.erased) == (True, True)
    assert lived.states == {}
    assert lived.pass_time(NOW_MS + 9_000_000) == []
    assert lived.counters["erased"] == 1


def test_a_text_is_read_where_it_says_how_the_user_feels(
    run: Callable[[Any], Any], items: KnownItems
) -> None:
    read: list[str] = []

    def read_text(text: str) -> None:
        read.append(text)

    fold = UserFold(items, max_age_ms=10**9, max_ahead_ms=10, dedup_ids=9, read_text=read_text)
    lived = run(fold)
    send(lived, replace(EVENT, event_id="a", event_type="review", text="lovely"))
    send(lived, replace(EVENT, event_id="a", event_type="review", text="lovely"))
    send(lived, replace(EVENT, event_id="b", text="a click has no text"))
    send(lived, replace(EVENT, event_id="c", event_type="review", text="", consent=False))
    send(lived, replace(EVENT, event_id="d", event_type="review", text="hidden"))
    assert read == ["lovely"]


def test_state_that_cannot_be_read_stops_the_job(lived: Any) -> None:
    """It is no fault of the record: dropping every event of the user would be worse."""
    lived.states[b"u1"] = b"\x63"
    with pytest.raises(UserStateError, match="format 99"):
        send(lived, EVENT)
