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


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "ftp://host/v1", "model": "m"}, "http:// or https://"),
        ({"url": "http://", "model": "m"}, "http:// or https://"),
        ({"url": "http://ada:pw@host/v1", "model": "m"}, "keys go into api_key"),
        ({"url": "http://host/v1"}, "has to be set where reasoner.url is"),
        ({"api_key": "two\nlines"}, "printable ASCII"),
        ({"api_key": "schlüssel"}, "printable ASCII"),
        ({"extra": "[1]"}, "a JSON object"),
        ({"extra": "{"}, "line 1 column 2"),
        ({"most_share": 0}, "greater than 0"),
        ({"most_share": 1.1}, "less than or equal to 1"),
    ],
)
def test_a_model_that_could_not_be_asked_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate({"reasoner": given})


def test_a_model_is_asked_only_where_one_is_named() -> None:
    assert Settings().reasoner.url == ""
    named = {"url": "https://host/v1/", "model": "m", "extra": '{"max_tokens": null}'}
    assert Settings.model_validate({"reasoner": named}).reasoner.url == "https://host/v1"
