"""Where a backfill goes: files of its own, or the stores."""

from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from freshet.backfill_states import KeptBytes
from operators.fold import Outgoing
from schemas.topics import TOPICS, Topic
from stores.event_log import LogMessage
from stores.log_producer import Position
from writers.batch import decode_all
from writers.targets import Target

BATCH = 500
# Of these the last message of a key says all that there is to know.
ABSOLUTE: dict[str, Topic] = {topic.name: topic for topic in TOPICS if not topic.delta}


class Sink(Protocol):
    """Takes what leaves the jobs. Use it with `with`."""

    def __enter__(self) -> Self:
        """Make it ready."""
        ...

    def __exit__(self, *failure: object) -> None:
        """Finish what was begun."""
        ...

    def tell(self, out: Outgoing, log_time_ms: int) -> None:
        """Take one message."""
        ...


class LastMessages:
    """Keeps the last message of each key of the topics that are absolute, a file a topic."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: dict[str, KeptBytes] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        for topic in ABSOLUTE:
            file = last_file(self._directory, topic)
            self._kept[topic] = self._closing.enter_context(KeptBytes(file))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def tell(self, out: Outgoing, log_time_ms: int) -> None:  # noqa: ARG002
        """Replace what was there of the key."""
        if out.topic in self._kept:
            self._kept[out.topic][out.key] = out.payload or b""


class StoreSink:
    """Writes to a store as the writers do, a batch at a time; what is newer there stays."""

    def __init__(self, target: Target, *, batch: int = BATCH) -> None:
        self._target = target
        self._topics = {topic.name: topic for topic in target.topics}
        self._batch = batch
        self._waiting: list[LogMessage] = []
        self.refused = 0

    def __enter__(self) -> Self:
        self._target.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        if self._target.mark:
            self._target.mark.wait()

    def tell(self, out: Outgoing, log_time_ms: int) -> None:
        """Take a message that the store wants."""
        if out.topic in self._topics:
            place = Position(topic=out.topic, partition=-1, offset=-1, log_time_ms=log_time_ms)
            self._waiting.append(LogMessage(position=place, key=out.key, value=out.payload))
            if len(self._waiting) >= self._batch:
                self._write()

    def _write(self) -> None:
        found = decode_all(self._waiting, self._topics)
        self._waiting.clear()
        self.refused += len(found.bad)
        if found.good:
            self._target.write(found.good)


def last_file(directory: Path, topic: str) -> Path:
    """Where the last messages of a topic lie."""
    return directory / "last" / f"{topic}.sqlite"


def states_file(directory: Path, job: str) -> Path:
    """Where the states of a job lie."""
    return directory / "states" / f"{job}.sqlite"
