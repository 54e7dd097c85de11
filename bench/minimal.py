"""The least that a stream processor of users' vectors does, as a fold and as a job.

Decode an event, read a vector of 512 numbers, change it, write it, emit it.
"""

from collections.abc import Iterable

import numpy as np

from domain.embedding import Vector
from operators.fold import Counting, Outgoing
from operators.messages import Incoming
from schemas.codec import decode
from schemas.collections import USER_DIM
from schemas.topics import EMBEDDING_UPDATES, USER_EVENTS
from schemas.types import UserEvent

JOB = "minimal"
TOPICS = (USER_EVENTS,)
PULL = np.float32(0.01)


class MinimalFold:
    """A user is a vector, pulled a little towards one by each event."""

    job = JOB

    def empty(self) -> Vector:
        return np.zeros(USER_DIM, dtype=np.float32)

    def decode(self, stored: bytes) -> Vector:
        return np.frombuffer(stored, dtype=np.float32).copy()

    def encode(self, state: Vector) -> bytes:
        return state.tobytes()

    def step(self, state: Vector, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        event = decode(message.value, UserEvent)
        state *= 1 - PULL
        state[len(event.item_id or "")] += PULL
        counters.count("accepted")
        return (Outgoing(EMBEDDING_UPDATES.name, message.key or b"", state.tobytes()),)

    def due_ms(self, state: Vector) -> int | None:  # noqa: ARG002
        return None

    def wake(self, state: Vector, log_time_ms: int, counters: Counting) -> Iterable[Outgoing]:  # noqa: ARG002
        return ()


def main() -> None:
    """Describe the job to Flink, which runs it."""
    from pyflink.datastream import StreamExecutionEnvironment

    from jobs.folding import folded
    from jobs.kafka import KafkaLog
    from settings import load_settings

    settings = load_settings()
    env = StreamExecutionEnvironment.get_execution_environment()
    log = KafkaLog(env, settings=settings, job=JOB)
    log.sink(folded(log.source(TOPICS), MinimalFold, job=JOB, settings=settings))
    env.execute(JOB)


if __name__ == "__main__":
    main()
