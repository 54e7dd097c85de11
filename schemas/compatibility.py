"""Whether a reader of one schema can read what a writer of another has written."""

from collections.abc import Iterator
from typing import Any

# What Avro's schema resolution lets a reader take a written type as.
PROMOTIONS = {
    "int": {"int", "long", "float", "double"},
    "long": {"long", "float", "double"},
    "float": {"float", "double"},
    "string": {"string", "bytes"},
    "bytes": {"bytes", "string"},
}


def conflicts(*, writer: Any, reader: Any, path: str = "") -> Iterator[str]:
    """Say, place by place, why `reader` can't read what `writer` has written.

    >>> list(conflicts(writer="int", reader="long"))
    []
    >>> list(conflicts(writer="long", reader="int"))
    ['the record: was long, is int']
    """
    if isinstance(writer, list):
        for option in writer:
            yield from conflicts(writer=option, reader=reader, path=path)
    elif isinstance(reader, list):
        if all(list(conflicts(writer=writer, reader=option, path=path)) for option in reader):
            yield f"{path or 'the record'}: {_kind(writer)} is no longer allowed"
    elif _kind(writer) not in {"record", "enum", "array", "map"} or _kind(writer) != _kind(reader):
        if _kind(reader) not in PROMOTIONS.get(_kind(writer), {_kind(writer)}):
            yield f"{path or 'the record'}: was {_kind(writer)}, is {_kind(reader)}"
    else:
        yield from _inside(writer, reader, path)


def _inside(writer: dict[str, Any], reader: dict[str, Any], path: str) -> Iterator[str]:
    kind = writer["type"]
    if kind == "record":
        yield from _fields(writer, reader, path)
    elif kind == "enum":
        yield from _symbols(writer, reader, path)
    else:
        part = "items" if kind == "array" else "values"
        yield from conflicts(writer=writer[part], reader=reader[part], path=f"{path}[]")


def _fields(writer: dict[str, Any], reader: dict[str, Any], path: str) -> Iterator[str]:
    written = {entry["name"]: entry for entry in writer["fields"]}
    for entry in reader["fields"]:
        where = f"{path}.{entry['name']}".lstrip(".")
        if entry["name"] in written:
            yield from conflicts(
                writer=written[entry["name"]]["type"], reader=entry["type"], path=where
            )
        elif "default" not in entry:
            yield f"{where}: is not in what was written and has no default"


def _symbols(writer: dict[str, Any], reader: dict[str, Any], path: str) -> Iterator[str]:
    unknown = sorted(set(writer["symbols"]) - set(reader["symbols"]))
    if unknown and "default" not in reader:
        yield f"{path}: symbols {', '.join(unknown)} are gone and there is no default"


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
