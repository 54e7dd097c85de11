"""The least that a stream processor of users' vectors does, as `bench/minimal.py` does it.

Imports what every peer's environment has, and nothing of the product.
"""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import numpy as np

SCHEMA = fastavro.parse_schema(
    json.loads(Path("schemas/avro/user_event.avsc").read_text(encoding="utf-8"))
)
# Two marker bytes and the schema's fingerprint stand before the Avro body.
HEADER_BYTES = 10
DIM = 512
PULL = np.float32(0.01)


def empty() -> Any:
    """A user who was never seen."""
    return np.zeros(DIM, dtype=np.float32)


def move(vector: Any, payload: bytes) -> Any:
    """Decode an event and change the vector by it, in place."""
    event: Any = fastavro.schemaless_reader(io.BytesIO(payload[HEADER_BYTES:]), SCHEMA, None)
    vector *= 1 - PULL
    vector[len(event["item_id"] or "")] += PULL
    return vector


def moved_bytes(stored: bytes | None, payload: bytes) -> bytes:
    """The same on stored bytes: read, change, and what to write."""
    vector = np.frombuffer(stored, dtype=np.float32).copy() if stored else empty()
    changed: bytes = move(vector, payload).tobytes()
    return changed
