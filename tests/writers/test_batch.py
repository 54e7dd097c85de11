from schemas.codec import encode
from schemas.topics import EMBEDDING_UPDATES, USER_SNAPSHOTS
from schemas.types import EmbeddingUpdate, UserSnapshot
from stores.event_log import LogMessage
from stores.log_producer import Position
from tests.stores.records import embedding_update, user_snapshot
from writers.batch import PAYLOAD_LIMIT, Refused, dead_letter, decode_all, of_kind
from writers.checks import Problem

TOPICS = {topic.name: topic for topic in (USER_SNAPSHOTS, EMBEDDING_UPDATES)}


def message(topic: str, offset: int, value: bytes | None, key: bytes | None = b"u") -> LogMessage:
    position = Position(topic=topic, partition=3, offset=offset, log_time_ms=1_000 + offset)
    return LogMessage(position=position, key=key, value=value)


def test_good_and_bad_are_set_apart_and_keep_their_order() -> None:
    users = [user_snapshot("u", version) for version in (1, 2)]
    messages = [
        message("user-snapshots", 0, encode(users[0])),
        message("user-snapshots", 1, b"garbage"),
        message("embedding-updates", 0, encode(embedding_update("u", 1))),
        message("user-snapshots", 2, encode(user_snapshot("", 1))),
        message("user-snapshots", 3, encode(users[1])),
        message("embedding-updates", 1, None),
        message("embedding-updates", 2, encode(embedding_update("u", 2)), b"v"),
        message("embedding-updates", 3, encode(embedding_update("u", 3)), None),
    ]
    batch = decode_all(messages, TOPICS)
    assert of_kind(batch.good, UserSnapshot) == users
    assert of_kind(batch.good, EmbeddingUpdate) == [embedding_update("u", 1)]
    assert [one.message for one in batch.good] == [messages[0], messages[2], messages[4]]
    assert [(one.message, one.problem.reason) for one in batch.bad] == [
        (messages[1], "not_avro"),
        (messages[3], "bad_id"),
        (messages[5], "empty"),
        (messages[6], "wrong_key"),
        (messages[7], "wrong_key"),
    ]


def test_a_dead_letter_says_where_it_came_from_and_why() -> None:
    refused = Refused(message("user-snapshots", 7, b"x" * 70_000), Problem("why", "what was seen"))
    key, letter = dead_letter(refused, job="writers-test")
    assert key == "user-snapshots:3:7"
    assert (letter.topic, letter.partition, letter.offset) == ("user-snapshots", 3, 7)
    assert (letter.log_time_ms, letter.key, letter.job) == (1_007, b"u", "writers-test")
    assert (letter.reason, letter.detail) == ("why", "what was seen")
    assert letter.payload == b"x" * PAYLOAD_LIMIT
    assert letter.payload_size == 70_000
