"""The text of `binary.py`: a writer and a reader of each record, as its schema wants them."""

import re
from collections.abc import Iterator
from typing import Any

from schemas import registry

HEADER = '''"""Records as Avro's bytes, written by `python -m schemas.generate`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schemas import avro_parts as avro
from schemas.types import (
{types}
)

class Binary(NamedTuple):
    """How one kind of record is written and read."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]
'''

WRITERS = {
    "string": "text",
    "int": "int_",
    "long": "long",
    "float": "float_",
    "double": "double",
    "boolean": "boolean",
    "bytes": "blob",
}
READERS = {
    "string": "read_text",
    "int": "read_long",
    "long": "read_long",
    "float": "read_float",
    "double": "read_double",
    "boolean": "read_boolean",
    "bytes": "read_blob",
}
MOST_SYMBOLS = 64


def binary_module() -> str:
    """The text of the module, not yet formatted."""
    parts, types = [], []
    for name in registry.NAMES:
        for schema in _definitions(registry.source(name)):
            types.append(str(schema["name"]))
            parts.append(_enum(schema) if schema["type"] == "enum" else _record(schema))
    names = [registry.source(name)["name"] for name in registry.NAMES]
    entries = "".join(f"    {one}: Binary({_writer(one)}, {_reader(one)}),\n" for one in names)
    parts.append(f"BINARY: Mapping[type[Any], Binary] = {{\n{entries}}}\n")
    imported = "".join(f"    {one},\n" for one in sorted(set(types)))
    return "\n\n".join((HEADER.replace("{types}", imported), *parts))


def _definitions(schema: Any) -> Iterator[dict[str, Any]]:
    """Enums and records within a schema, those that it builds on first."""
    if isinstance(schema, list):
        for part in schema:
            yield from _definitions(part)
    if not isinstance(schema, dict):
        return
    for inner in ("items", "values"):
        yield from _definitions(schema.get(inner))
    for entry in schema.get("fields", ()):
        yield from _definitions(entry["type"])
    if schema["type"] in {"record", "enum"}:
        yield schema


def _enum(schema: dict[str, Any]) -> str:
    """A symbol is its number, zigzag: one byte for the first 64."""
    name, symbols = schema["name"], schema["symbols"]
    if len(symbols) > MOST_SYMBOLS:
        raise ValueError(f"{name} has {len(symbols)} symbols; {MOST_SYMBOLS} fit into one byte")
    numbered = [(2 * number, symbol) for number, symbol in enumerate(symbols)]
    lines = [
        f"_{_snake(name).upper()}_BYTES: Mapping[{name}, bytes] = {{",
        *(f'    "{symbol}": {bytes([number])!r},' for number, symbol in numbered),
        "}",
        f"_{_snake(name).upper()}_AT: Mapping[int, {name}] = {{",
        *(f'    {number}: "{symbol}",' for number, symbol in numbered),
        "}",
        "",
        f"def {_writer(name)}(value: {name}) -> bytes:",
        f"    return _{_snake(name).upper()}_BYTES[value]",
        "",
        f"def {_reader(name)}(data: bytes, at: int) -> tuple[{name}, int]:",
        f"    return _{_snake(name).upper()}_AT[data[at]], at + 1",
    ]
    return "\n".join(lines)


def _record(schema: dict[str, Any]) -> str:
    name, fields = schema["name"], schema["fields"]
    lines = [
        f"def {_writer(name)}(value: {name}) -> bytes:",
        '    return b"".join((',
        *(f"        {_written(e['type'], 'value.' + e['name'])}," for e in fields),
        "    ))",
        "",
        f"def {_reader(name)}(data: bytes, at: int) -> tuple[{name}, int]:",
        *(f"    {e['name']}, at = {_read(e['type'])}" for e in fields),
        f"    return {name}(",
        *(f"        {e['name']}={e['name']}," for e in fields),
        "    ), at",
    ]
    return "\n".join(lines)


def _written(schema: Any, value: str) -> str:
    if isinstance(schema, list):
        some = _written(_option(schema), value)
        return f"avro.NULL if {value} is None else avro.PRESENT + {some}"
    kind = _kind(schema)
    if kind == "array" and schema["items"] == "float":
        return f"avro.floats({value})"
    if kind in {"array", "map"}:
        items = schema["items" if kind == "array" else "values"]
        function = "array" if kind == "array" else "mapping"
        return f"avro.{function}({value}, {_writer_of(items)})"
    return f"{_writer_of(schema)}({value})"


def _read(schema: Any) -> str:
    if isinstance(schema, list):
        reader = _reader_of(_option(schema))
        return f"(None, at + 1) if data[at] == 0 else avro.read_some(data, at, {reader})"
    kind = _kind(schema)
    if kind == "array" and schema["items"] == "float":
        return "avro.read_floats(data, at)"
    if kind in {"array", "map"}:
        items = schema["items" if kind == "array" else "values"]
        function = "read_array" if kind == "array" else "read_mapping"
        return f"avro.{function}(data, at, {_reader_of(items)})"
    return f"{_reader_of(schema)}(data, at)"


def _option(schema: list[Any]) -> Any:
    null, found = schema
    if null != "null":
        raise ValueError(f"an option is null or one other type, in this order, unlike {schema}")
    return found


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _writer_of(schema: Any) -> str:
    return f"avro.{WRITERS[schema]}" if _is_plain(schema) else _writer(_name(schema))


def _reader_of(schema: Any) -> str:
    return f"avro.{READERS[schema]}" if _is_plain(schema) else _reader(_name(schema))


def _is_plain(schema: Any) -> bool:
    return isinstance(schema, str) and schema in WRITERS


def _name(schema: Any) -> str:
    return str(schema["name"] if isinstance(schema, dict) else schema).rpartition(".")[2]


def _writer(name: str) -> str:
    return f"_write_{_snake(name)}"


def _reader(name: str) -> str:
    return f"_read_{_snake(name)}"


def _snake(name: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", name).lower()
