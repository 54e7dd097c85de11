"""What our jar does beside Flink, called from Python through PyFlink's gateway."""

import gc
import warnings
from typing import Any

import pytest
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader

from settings import load_settings
from stack.jars import fetch_jars
from stack.layout import Layout


@pytest.fixture(scope="module")
def jvm() -> Any:
    """PyFlink lets go of the gateway's process; it ends with ours."""
    jars = (fetch_jars(Layout.of(load_settings()).cache) / "flink").glob("*.jar")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        get_gateway()
        gc.collect()
    add_jars_to_context_class_loader([jar.as_uri() for jar in jars])
    return get_gateway().jvm


def groups(jvm: Any, *, messages: int = 100, size: int = 1_000) -> Any:
    return jvm.freshet.flink.Groups(8, messages, size)


def rows(found: Any) -> list[tuple[int, bytes]]:
    return [(row.getField(0), bytes(row.getField(1))) for row in found]


@pytest.mark.parametrize(
    ("key", "bucket"), [(None, 11), (b"", 11), (b"u1", 23), (b"u2", 112), (b"\xff\xfe", 80)]
)
def test_a_key_stays_in_its_bucket_for_ever(jvm: Any, key: bytes | None, bucket: int) -> None:
    """These figures never change: states lie where they say."""
    assert jvm.freshet.flink.Buckets.of(key, 128) == bucket


def test_keys_are_spread_evenly(jvm: Any) -> None:
    counts = [0] * 64
    for number in range(6_400):
        counts[jvm.freshet.flink.Buckets.of(b"user-%d" % number, 64)] += 1
    assert 60 < min(counts) <= max(counts) < 145


def test_messages_leave_by_bucket_in_their_order(jvm: Any) -> None:
    one = groups(jvm)
    for bucket, message in ((5, b"a"), (2, b"b"), (5, b"c")):
        assert not one.add(bucket, message)
    assert rows(one.take()) == [(2, b"b"), (5, b"ac")]
    assert rows(one.take()) == []


def test_there_is_enough_by_number_or_by_size(jvm: Any) -> None:
    few, small = groups(jvm, messages=2), groups(jvm, size=4)
    assert [few.add(1, b"a"), few.add(2, b"b")] == [False, True]
    few.take()
    assert not few.add(1, b"a")
    assert [small.add(1, b"abc"), small.add(1, b"d")] == [False, True]


def test_each_bucket_that_had_messages_is_marked_once(jvm: Any) -> None:
    one = groups(jvm)
    one.add(3, b"a")
    one.take()
    one.add(4, b"b")
    one.take()
    assert rows(one.markers()) == [(3, b""), (4, b"")]
    assert rows(one.markers()) == []
