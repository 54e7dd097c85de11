from collections.abc import Iterator, Sequence

import pytest

from schemas.codec import encode
from schemas.topics import USER_SNAPSHOTS, Topic
from stores.disk_mark import DiskMark
from stores.errors import StoreUnavailable
from stores.event_log import LogMessage
from stores.log_producer import Position
from tests.stores.records import user_snapshot
from writers.backlog import Linger
from writers.batch import Carried
from writers.refill import refill


class Target:
    name = "redis"
    topics: tuple[Topic, ...] = (USER_SNAPSHOTS,)
    pause_s = 0.0
    linger: Linger | None = None
    mark: DiskMark | None = None

    def __init__(self, *, away: bool = False) -> None:
        self.written: list[list[int]] = []
        self._away = away

    def prepare(self) -> None:
        if self._away:
            raise StoreUnavailable("Redis", "away")

    def write(self, carried: Sequence[Carried]) -> None:
        self.written.append([one.record.version for one in carried])  # type: ignore[attr-defined]


class Mark(DiskMark):
    def __init__(self, target: Target) -> None:
        self.written_before_it: list[list[int]] = []
        self._target = target

    def wait(self) -> None:
        self.written_before_it = list(self._target.written)


def messages(count: int) -> Iterator[LogMessage]:
    for number in range(count):
        value = b"no avro" if number == 3 else encode(user_snapshot("u", number))
        place = Position(topic="user-snapshots", partition=0, offset=number, log_time_ms=number)
        yield LogMessage(position=place, key=b"u", value=value)


def test_all_that_the_log_holds_is_written_in_its_order() -> None:
    target, reports = Target(), list[int]()
    assert refill(target, messages(7), report=reports.append, batch=3) == 1
    assert target.written == [[0, 1, 2], [4, 5], [6]]
    assert reports == [3, 6, 7]


def test_it_ends_when_all_is_on_the_disk() -> None:
    target = Target()
    target.mark = mark = Mark(target)
    refill(target, messages(2), report=lambda _: None)
    assert mark.written_before_it == [[0, 1]]


def test_a_store_that_is_away_is_told_before_anything_is_read() -> None:
    read = messages(7)
    with pytest.raises(StoreUnavailable, match="away"):
        refill(Target(away=True), read, report=print)
    assert len(list(read)) == 7
