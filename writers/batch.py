"""A batch on its way from the log to a store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.codec import DecodeError
from schemas.topics import Topic
from schemas.types import DeadLetter, Record
from stores.event_log import LogMessage
from writers.checks import Problem, problem_of

PAYLOAD_LIMIT = 65_536

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True)
class Carried:
    """A record and the message that brought it."""

    message: LogMessage
    record: Record


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that can't be written, and why."""

    message: LogMessage
    problem: Problem


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought."""

    good: list[Carried] = field(default_factory=list)
    bad: list[Refused] = field(default_factory=list)


def decode_all(messages: Iterable[LogMessage], topics: Mapping[str, Topic]) -> Batch:
    """Decode messages by their topic, the unusable ones set apart; the log's order is kept."""
    batch = Batch()
    for message in messages:
        topic = topics[message.position.topic]
        try:
            record = message.record(topic.record)
        except DecodeError as error:
            batch.bad.append(Refused(message, Problem(error.reason, error.detail)))
            continue
        problem = problem_of(record) or _key_problem(topic, record, message.key)
        if problem:
            batch.bad.append(Refused(message, problem))
        else:
            batch.good.append(Carried(message, record))
    return batch


def _key_problem(topic: Topic, record: Record, key: bytes | None) -> Problem | None:
    """What has another's key is in another's order: it could take the place of what is newer."""
    if key == topic.key_of(record):
        return None
    return Problem("wrong_key", topic.complaint(key))


def of_kind(carried: Sequence[Carried], kind: type[RecordT]) -> list[RecordT]:
    """The records of one type, in the log's order."""
    return [one.record for one in carried if isinstance(one.record, kind)]


def dead_letter(refused: Refused, *, job: str) -> tuple[str, DeadLetter]:
    """The key and the record for the dead letters' topic."""
    position, value = refused.message.position, refused.message.value or b""
    letter = DeadLetter(
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        log_time_ms=position.log_time_ms,
        key=refused.message.key,
        payload=value[:PAYLOAD_LIMIT],
        payload_size=len(value),
        reason=refused.problem.reason,
        detail=refused.problem.detail,
        job=job,
    )
    return f"{position.topic}:{position.partition}:{position.offset}", letter
