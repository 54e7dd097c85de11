"""Lakes for tests: messages of every table, and a lake written from messages without the job."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from domain.events import EventLimits
from operators.counting import Tally
from operators.interaction_lake import LakeSorter
from operators.messages import Incoming
from schemas.codec import encode
from schemas.lake import LAKE_TABLES, LakeTable
from schemas.topics import HOUR_MS, Topic
from schemas.types import (
    BanditUpdate,
    Impression,
    Interaction,
    Record,
    ShownItem,
    SignalPayload,
    UserEvent,
    UserSnapshot,
)
from stores.event_log import LogMessage
from stores.lake.files import write_files
from stores.lake.reading import Lake

# A full hour of 21 September 2026: 14:00 UTC.
HOUR = 1_789_999_200_000
SORTER = LakeSorter(EventLimits())


def event(event_id: str, user_id: str, *, at_ms: int = HOUR, **more: Any) -> UserEvent:
    defaults: dict[str, Any] = {"event_type": "click", "item_id": "i1", "timestamp_ms": at_ms}
    return UserEvent(event_id=event_id, user_id=user_id, **(defaults | more))


def full_event(event_id: str = "full") -> UserEvent:
    """One with every field set."""
    return event(
        event_id,
        "u-full",
        event_type="view",
        session_id="s1",
        duration_ms=12_345,
        completion_rate=0.5,
        position=3,
        request_id="r1",
        quantity=2,
        price=9.99,
        text="naïve 你好",
        reward_override=0.25,
        page_type="home",
        surface="hero",
        device_type="mobile",
        platform="ios",
        country="DE",
        region="BE",
        city="Berlin",
        latitude=52.5,
        longitude=13.4,
        model_version="m1",
        experiment_id="x1",
        variant="b",
        consent=True,
        signal=SignalPayload(category="tea", direction="positive", strength=0.75),
        context={"page": "home", "source": "mail"},
    )


def impression(request_id: str, user_id: str, *, at_ms: int = HOUR) -> Impression:
    shown = (
        ShownItem(item_id="i1", rank=1, score=0.9, source="trending", propensity=0.25),
        ShownItem(item_id="i2", rank=2, score=0.5, source="popular", uncertainty=0.5),
    )
    return Impression(
        request_id=request_id,
        user_id=user_id,
        timestamp_ms=at_ms,
        context_features=(0.5, 1.5),
        items=shown,
        fallbacks=("rank",),
    )


def reward(update_id: str, user_id: str | None, *, log_time_ms: int = HOUR) -> BanditUpdate:
    return BanditUpdate(
        update_id=update_id,
        item_id="i1",
        context_segment="mobile_de",
        reward=0.3,
        timestamp_ms=HOUR,
        user_id=user_id,
        log_time_ms=log_time_ms,
    )


def snapshot(user_id: str, version: int, *, log_time_ms: int = HOUR) -> UserSnapshot:
    return UserSnapshot(
        user_id=user_id,
        version=version,
        timestamp_ms=HOUR,
        log_time_ms=log_time_ms,
        first_seen_ms=HOUR,
        total_interactions=version,
        total_sessions=1,
        windows=b"\x01\x02",
        interaction=Interaction(event_id="e", event_type="view", timestamp_ms=HOUR),
    )


def message(
    table: LakeTable, record: Record, offset: int, *, partition: int = 0, log_time_ms: int = HOUR
) -> Incoming:
    key = table.key_of(record.to_record())
    topic: Topic = table.topic
    return Incoming(key, encode(record), topic.name, partition, offset, log_time_ms)


def write(lake: Path, messages: Iterable[Incoming]) -> list[Path]:
    """Write messages as new files, as one commit of the job would."""
    return write_files(lake, SORTER.rows(messages, Tally()))


def incoming(found: LogMessage) -> Incoming:
    at = found.position
    return Incoming(found.key, found.value, at.topic, at.partition, at.offset, at.log_time_ms)


def read_back(lake: Path, tables: Sequence[LakeTable] = LAKE_TABLES) -> list[Incoming]:
    return [incoming(found) for found in Lake(lake).messages(tables)]


def users_of(lake: Path, table: LakeTable) -> list[str]:
    batches = Lake(lake).read(table, columns=["user_id"])
    return sorted(name for batch in batches for name in batch["user_id"].to_pylist())


def hours_later(hours: float) -> int:
    return HOUR + int(hours * HOUR_MS)
