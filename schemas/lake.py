"""The tables of the lake, declared once: which topic each keeps, and where a row of it lies.

Every row is one message of the log: what it says as columns, the message itself as `payload`, and
its place. Columns follow from the Avro schema of the topic's record, so a table has no second
definition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.registry import Schema, current
from schemas.topics import (
    BANDIT_UPDATES,
    HOUR_MS,
    PERSONALIZATION_RESULTS,
    USER_EVENTS,
    USER_SNAPSHOTS,
    Topic,
)
from schemas.types import RECORD_NAMES

# Where a message stood, and the message as it stood there; no record may have a field named so.
PLACE = ("topic", "partition", "offset", "log_time")
PAYLOAD = "payload"


@dataclass(frozen=True, kw_only=True)
class LakeTable:
    """One topic as a table.

    Keys of its messages are those that the topic declares, so they are not stored again.
    """

    name: str
    topic: Topic

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The Avro fields that are columns; those of bytes say nothing to SQL and stay inside."""
        schema: Schema = current(RECORD_NAMES[self.topic.record]).parsed
        return [field for field in schema["fields"] if field["type"] != "bytes"]

    def key_of(self, record: Mapping[str, Any]) -> bytes:
        """The key of a message with this record.

        >>> REWARDS.key_of({"item_id": "i1", "context_segment": "mobile"})
        b'i1:mobile'
        """
        return ":".join(str(record[name]) for name in self.topic.key_fields).encode()


EVENTS = LakeTable(name="events", topic=USER_EVENTS)
IMPRESSIONS = LakeTable(name="impressions", topic=PERSONALIZATION_RESULTS)
REWARDS = LakeTable(name="rewards", topic=BANDIT_UPDATES)
SNAPSHOTS = LakeTable(name="snapshots", topic=USER_SNAPSHOTS)

LAKE_TABLES = (EVENTS, IMPRESSIONS, REWARDS, SNAPSHOTS)
TABLE_OF_TOPIC = {table.topic.name: table for table in LAKE_TABLES}


class LakeRow(NamedTuple):
    """A message on its way into the lake; `filed_ms` decides in which hour it lies."""

    table: LakeTable
    filed_ms: int
    record: dict[str, Any]
    payload: bytes
    partition: int
    offset: int
    log_time_ms: int

    @property
    def directory(self) -> str:
        """The directory of its hour, under that of the lake."""
        return hour_directory(self.table, self.filed_ms)


def hour_directory(table: LakeTable, at_ms: int) -> str:
    """Where rows of an hour lie, under the directory of the lake; days and hours are UTC's.

    >>> hour_directory(EVENTS, 1_790_000_000_000)
    'events/day=2026-09-21/hour=14'
    """
    return f"{table.name}/{_hour_path(at_ms // HOUR_MS)}"


@lru_cache(maxsize=1_024)
def _hour_path(number: int) -> str:
    hour = datetime.fromtimestamp(number * HOUR_MS / 1000, tz=UTC)
    return f"day={hour:%Y-%m-%d}/hour={hour:%H}"


def hour_start_ms(directory: str) -> int:
    """The first millisecond of the hour that a directory is for.

    >>> hour_start_ms("events/day=2026-09-21/hour=14")
    1789999200000
    """
    _, day, hour = directory.rsplit("/", 2)
    text = f"{day.removeprefix('day=')}T{hour.removeprefix('hour=')}:00:00+00:00"
    return int(datetime.fromisoformat(text).timestamp()) * 1_000
