"""Quix Streams: state in RocksDB, its changelog in Kafka."""

import sys
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found, unused-ignore]

from bench.peers.work import moved_bytes


def main(bootstrap: str, source: str, target: str, directory: str) -> None:
    """Work until stopped."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=target,
        auto_offset_reset="earliest",
        state_dir=directory,
        use_changelog_topics=True,
        loglevel="WARNING",
    )
    events = app.topic(source, key_deserializer="bytes", value_deserializer="bytes")
    vectors = app.topic(target, key_serializer="bytes", value_serializer="bytes")
    app.dataframe(events).apply(_step, stateful=True).to_topic(vectors)
    app.run()


def _step(payload: bytes, state: Any) -> bytes:
    changed = moved_bytes(state.get_bytes("vector"), payload)
    state.set_bytes("vector", changed)
    return changed


if __name__ == "__main__":
    main(*sys.argv[1:5])
