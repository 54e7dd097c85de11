"""Every record that crosses a boundary: its schema now, and every schema it ever had.

`avro/NAME.avsc` is the source. `history/NAME/N.avsc` holds each version that was ever published, on
one line, so that a message of any age finds the schema it was written with.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

Schema = dict[str, Any]

HERE = Path(__file__).parent
AVRO_DIR = HERE / "avro"
HISTORY_DIR = HERE / "history"

# A record stands after the records that it names.
NAMES = (
    "user_event",
    "item_event",
    "impression",
    "embedding_update",
    "bandit_update",
    "bandit_posterior",
    "dead_letter",
    "user_snapshot",
    "item_signal",
    "item_snapshot",
    "item_popularity",
    "item_pair",
    "item_neighbors",
    "item_engagement",
    "answer_trace",
    "ranking_trace",
    "history_trace",
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """One published form of a schema."""

    name: str
    fingerprint: bytes
    parsed: Schema


def source(name: str) -> Schema:
    """The schema as its file has it."""
    loaded: Schema = json.loads((AVRO_DIR / f"{name}.avsc").read_text(encoding="utf-8"))
    return loaded


def expanded(name: str) -> Schema:
    """The schema without its docs, with the records that it names written out in place."""
    definitions = {f"freshet.{_record_name(other)}": other for other in NAMES}

    def expand(node: Any, seen: set[str]) -> Any:
        if isinstance(node, str) and node in definitions and node not in seen:
            seen.add(node)
            return expand(source(definitions[node]), seen)
        if isinstance(node, list):
            return [expand(part, seen) for part in node]
        if isinstance(node, dict):
            return {
                key: expand(value, seen) if key in {"type", "items", "values", "fields"} else value
                for key, value in node.items()
                if key != "doc"
            }
        return node

    result: Schema = expand(source(name), set())
    return result


def canonical(schema: Schema) -> str:
    """The parsing canonical form: what readers and writers must agree on, and nothing else."""
    return str(to_parsing_canonical_form(schema))


def fingerprint_of(schema: Schema) -> bytes:
    """The CRC-64-AVRO of the canonical form, as messages carry it: little endian."""
    return bytes.fromhex(fingerprint(canonical(schema), "CRC-64-AVRO"))


@cache
def current(name: str) -> Version:
    """The schema that writers use now and readers resolve to."""
    schema = expanded(name)
    return Version(name=name, fingerprint=fingerprint_of(schema), parsed=_parsed(schema))


@cache
def published() -> dict[bytes, Version]:
    """Every version ever published, by fingerprint, the current ones among them."""
    versions = {version.fingerprint: version for version in _history()}
    versions.update({current(name).fingerprint: current(name) for name in NAMES})
    return versions


def history_files(name: str) -> list[Path]:
    """The published versions of a schema, oldest first."""
    return sorted((HISTORY_DIR / name).glob("*.avsc"), key=lambda path: int(path.stem))


def _history() -> Iterator[Version]:
    for name in NAMES:
        for path in history_files(name):
            schema = json.loads(path.read_text(encoding="utf-8"))
            yield Version(
                name=name,
                fingerprint=fingerprint_of(schema),
                parsed=_parsed(schema),
            )


def _parsed(schema: Schema) -> Schema:
    return cast("Schema", parse_schema(schema, named_schemas={}))


def _record_name(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))
