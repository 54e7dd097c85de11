"""Bytewax: state in memory, its snapshots in SQLite with each epoch."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found, unused-ignore]
from bytewax._bytewax import cli_main  # type: ignore[import-not-found, unused-ignore]
from bytewax.connectors.kafka import (  # type: ignore[import-not-found, unused-ignore]
    KafkaSinkMessage,
    KafkaSourceMessage,
)
from bytewax.connectors.kafka import (
    operators as kop,
)
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found, unused-ignore]
from bytewax.recovery import (  # type: ignore[import-not-found, unused-ignore]
    RecoveryConfig,
    init_db_dir,
)

from bench.peers.work import empty, move

EPOCH = timedelta(seconds=10)


def main(bootstrap: str, source: str, target: str, directory: str) -> None:
    """Work until stopped."""
    flow = Dataflow("minimal")
    events = kop.input("in", flow, brokers=[bootstrap], topics=[source], batch_size=1_000)
    by_user = op.map("key", events.oks, _keyed)
    moved = op.stateful_map("move", by_user, _step)
    kop.output("out", op.map("message", moved, _message), brokers=[bootstrap], topic=target)
    Path(directory).mkdir(parents=True, exist_ok=True)
    init_db_dir(Path(directory), 1)
    cli_main(flow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(directory))


def _keyed(message: KafkaSourceMessage) -> tuple[str, bytes]:
    return message.key.decode(), message.value


def _step(vector: Any, payload: bytes) -> tuple[Any, bytes]:
    vector = move(empty() if vector is None else vector, payload)
    return vector, vector.tobytes()


def _message(keyed: tuple[str, bytes]) -> KafkaSinkMessage:
    user_id, vector = keyed
    return KafkaSinkMessage(user_id.encode(), vector)


if __name__ == "__main__":
    main(*sys.argv[1:5])
