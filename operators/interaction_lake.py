"""Which messages the lake keeps, and in which hour each is filed. No state, so no fold."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from domain.events import EventLimits, refusal
from operators.fold import RefusedError
from operators.messages import Incoming
from schemas.codec import DecodeError, decode
from schemas.lake import EVENTS, TABLE_OF_TOPIC, LakeRow, LakeTable
from schemas.types import Record, UserEvent

JOB = "interaction_lake"


class LakeCounting(Protocol):
    """Where it is counted what became of messages."""

    def count(self, name: str, by: int = 1) -> None:
        """More of something."""
        ...

    def dead_letter(self, reason: str) -> None:
        """One more message that the lake does not keep."""
        ...


class LakeSorter:
    """Sorts messages into tables and hours.

    An event is filed by its own time, which is near the log's or the event is refused, as by
    `user_state`. The other records are ours: they are kept, and one whose own time could not be
    right is filed by the time of the log.
    """

    def __init__(self, limits: EventLimits) -> None:
        self._limits = limits

    def rows(self, messages: Iterable[Incoming], counters: LakeCounting) -> Iterator[LakeRow]:
        """The rows for messages; what can't be used is counted by its reason and left out.

        The dead letter of an event is made by `user_state`, once.
        """
        for message in messages:
            try:
                yield self.row(message)
            except (DecodeError, RefusedError) as error:
                counters.dead_letter(error.reason)
            else:
                counters.count("kept")

    def row(self, message: Incoming) -> LakeRow:
        """The row for a message; `DecodeError` or `RefusedError` where it gets none."""
        table = TABLE_OF_TOPIC[message.topic]
        record = decode(message.value, table.topic.record)
        self._refuse(table, record, message)
        plain = record.to_record()
        _require_key(table, table.key_of(plain), message.key)
        return LakeRow(
            table=table,
            filed_ms=self._filed_ms(plain["timestamp_ms"], message.log_time_ms),
            record=plain,
            payload=message.value or b"",
            partition=message.partition,
            offset=message.offset,
            log_time_ms=message.log_time_ms,
        )

    def _refuse(self, table: LakeTable, record: Record, message: Incoming) -> None:
        if table is not EVENTS:
            return
        assert isinstance(record, UserEvent)
        refused = refusal(
            record, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise RefusedError.of(refused)

    def _filed_ms(self, timestamp_ms: int, log_time_ms: int) -> int:
        age_ms = log_time_ms - timestamp_ms
        near = -self._limits.max_ahead_ms <= age_ms <= self._limits.max_age_ms
        return timestamp_ms if near else log_time_ms


def _require_key(table: LakeTable, wanted: bytes, key: bytes | None) -> None:
    if key != wanted:
        raise RefusedError("wrong_key", table.topic.complaint(key))
