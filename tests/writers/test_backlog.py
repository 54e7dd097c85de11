from schemas.types import EmbeddingUpdate, Record
from stores.event_log import LogMessage
from stores.log_producer import Position
from tests.clock import Clock
from tests.stores.records import embedding_update, item_snapshot
from writers.backlog import Backlog, Linger
from writers.batch import Carried

LINGER = Linger(seconds=30, may=lambda record: isinstance(record, EmbeddingUpdate))


def carried(record: Record, key: str, offset: int, *, partition: int = 0) -> Carried:
    topic = "vectors" if isinstance(record, EmbeddingUpdate) else "items"
    position = Position(topic=topic, partition=partition, offset=offset, log_time_ms=0)
    return Carried(LogMessage(position=position, key=key.encode(), value=b""), record)


def vector(user_id: str, version: int, offset: int, *, partition: int = 0) -> Carried:
    return carried(embedding_update(user_id, version), user_id, offset, partition=partition)


def item(offset: int) -> Carried:
    return carried(item_snapshot("i", 1), "i", offset)


def test_what_may_not_wait_is_due_at_once_in_its_order_until_it_is_written() -> None:
    backlog = Backlog(None, clock=Clock())
    records = [vector("u", 1, 7), item(3), vector("u", 2, 8)]
    assert backlog.add(records) == 0
    assert backlog.due(2) == backlog.due(2) == records
    assert backlog.first_offsets() == {("vectors", 0): 7, ("items", 0): 3}
    backlog.written(records)
    assert (backlog.due(2), len(backlog), backlog.first_offsets()) == ([], 0, {})


def test_only_the_latest_of_a_key_is_written_when_the_first_has_waited_long_enough() -> None:
    clock = Clock()
    backlog = Backlog(LINGER, clock=clock)
    latest, other = vector("u", 3, 9), vector("v", 1, 5, partition=1)
    assert backlog.add([vector("u", 1, 7)]) == 0
    clock.now += 29
    assert backlog.add([other, vector("u", 2, 8), latest]) == 2
    assert backlog.due(9) == []
    # A crash must find all of it again: reading begins where the replaced one stands.
    assert backlog.first_offsets() == {("vectors", 0): 7, ("vectors", 1): 5}
    clock.now += 1
    assert backlog.due(9) == [latest]
    backlog.written([latest])
    assert backlog.first_offsets() == {("vectors", 1): 5}
    assert backlog.due(9, hurry=True) == [other]


def test_what_may_not_wait_replaces_what_waits_for_its_key() -> None:
    backlog = Backlog(
        Linger(seconds=30, may=lambda record: record != embedding_update("u", 2)), clock=Clock()
    )
    now = vector("u", 2, 2)
    assert backlog.add([vector("u", 1, 1), now]) == 1
    assert backlog.due(9, hurry=True) == [now]
    backlog.written([now])
    assert len(backlog) == 0


def test_what_is_due_goes_in_portions_and_too_many_do_not_wait() -> None:
    backlog = Backlog(LINGER, clock=Clock(), most=3)
    vectors = [vector(f"u{number}", 1, number) for number in range(5)]
    backlog.add(vectors)
    assert backlog.due(1) == vectors[:1]
    assert backlog.due(9) == vectors[:2]
    assert backlog.due(4, hurry=True) == vectors[:4]
    backlog.clear()
    assert backlog.due(9, hurry=True) == []
