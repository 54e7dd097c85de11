import pytest
from pydantic import ValidationError

from settings import Settings


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.port = 1  # type: ignore[misc]


def test_addresses_are_our_own_unless_external() -> None:
    ours = Settings()
    assert ours.kafka.bootstrap == "127.0.0.1:19092"
    assert ours.flink.rest_address == "127.0.0.1:18081"
    assert ours.redis.url == "redis://127.0.0.1:16379/0"
    assert ours.milvus.uri == "http://127.0.0.1:19530"
    assert ours.triton.address == "127.0.0.1:18001"


def test_addresses_are_those_of_external_servers() -> None:
    theirs = Settings.model_validate(
        {
            "kafka": {"external": "k:1,l:1"},
            "flink": {"external": "f:2"},
            "redis": {"external": "redis://r:3"},
            "milvus": {"external": "http://m:4"},
            "triton": {"external": "t:5"},
        }
    )
    assert theirs.kafka.bootstrap == "k:1,l:1"
    assert theirs.flink.rest_address == "f:2"
    assert theirs.redis.url == "redis://r:3"
    assert theirs.milvus.uri == "http://m:4"
    assert theirs.triton.address == "t:5"
