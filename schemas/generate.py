"""Writes `types.py` and `binary.py` from the schemas: `python -m schemas.generate`.

With `--check` it compares.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas import registry
from schemas.generate_binary import binary_module

TARGET = Path(__file__).with_name("types.py")
BINARY = Path(__file__).with_name("binary.py")

HEADER = '''"""Records as Python values, written by `python -m schemas.generate`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self


class Record(Protocol):
    """What every generated type can do."""

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        ...

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        ...
'''

PLAIN = {
    "string": "str",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "boolean": "bool",
    "bytes": "bytes",
    "null": "None",
}


def module() -> str:
    """The text of `types.py`."""
    parts = [HEADER]
    for name in registry.NAMES:
        parts.extend(_definitions(registry.source(name)))
    entries = "".join(
        f'    {registry.source(name)["name"]}: "{name}",\n' for name in registry.NAMES
    )
    parts.append(f"RECORD_NAMES: Mapping[type[Record], str] = {{\n{entries}}}\n")
    return _formatted("\n\n".join(parts))


def _formatted(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _definitions(schema: Any) -> Iterator[str]:
    """The definitions that a schema needs, those it builds on first."""
    if isinstance(schema, list):
        for part in schema:
            yield from _definitions(part)
    if not isinstance(schema, dict):
        return
    kind = schema["type"]
    if kind == "record":
        for entry in schema["fields"]:
            yield from _definitions(entry["type"])
        yield _record(schema)
    elif kind == "enum":
        symbols = ", ".join(f'"{symbol}"' for symbol in schema["symbols"])
        yield f"{schema['name']} = Literal[{symbols}]"
    elif kind in {"array", "map"}:
        yield from _definitions(schema["items" if kind == "array" else "values"])


def _record(schema: dict[str, Any]) -> str:
    fields = schema["fields"]
    declared = [(e["name"], _annotation(e["type"]), _default(e)) for e in fields]
    plain = [(e["name"], _to_plain(e["type"], f"self.{e['name']}")) for e in fields]
    lines = [
        "@dataclass(frozen=True, slots=True, kw_only=True)",
        f"class {schema['name']}:",
        f'    """{schema["doc"]}"""',
        "",
        *(f"    {name}: {kind}{default}" for name, kind, default in declared),
        "",
        "    def to_record(self) -> dict[str, Any]:",
        '        """The fields as plain data, as Avro writes them."""',
        "        return {",
        *(f'            "{name}": {value},' for name, value in plain),
        "        }",
        "",
        "    @classmethod",
        "    def from_record(cls, record: dict[str, Any]) -> Self:",
        '        """The value of plain data that Avro has read."""',
        "        return cls(",
        *(f"            {e['name']}={_from_plain(e)}," for e in fields),
        "        )",
    ]
    return "\n".join(lines)


def _annotation(schema: Any) -> str:
    if isinstance(schema, list):
        return " | ".join(_annotation(part) for part in sorted(schema, key=lambda p: p == "null"))
    if isinstance(schema, str):
        return PLAIN.get(schema) or schema.rpartition(".")[2]
    if schema["type"] == "array":
        return f"tuple[{_annotation(schema['items'])}, ...]"
    if schema["type"] == "map":
        return f"Mapping[str, {_annotation(schema['values'])}]"
    return str(schema["name"])


def _default(entry: dict[str, Any]) -> str:
    if "default" not in entry:
        return ""
    value = entry["default"]
    if isinstance(value, dict):
        return " = field(default_factory=dict)"
    if isinstance(value, list):
        return " = ()"
    if entry["type"] == "bytes":
        return f" = {value.encode('latin-1')!r}"
    return f" = {value!r}"


def _record_in(schema: Any) -> str | None:
    """The generated type that a field holds, alone or as an option."""
    options = [part for part in schema if part != "null"] if isinstance(schema, list) else [schema]
    found = options[0]
    if isinstance(found, dict) and found["type"] == "record":
        return str(found["name"])
    if isinstance(found, str) and "." in found:
        return found.rpartition(".")[2]
    return None


def _to_plain(schema: Any, value: str) -> str:
    if isinstance(schema, dict) and schema["type"] == "array":
        of_records = _record_in(schema["items"])
        return f"[part.to_record() for part in {value}]" if of_records else f"list({value})"
    if not _record_in(schema):
        return value
    optional = isinstance(schema, list)
    return f"{value}.to_record()" + (f" if {value} is not None else None" if optional else "")


def _from_plain(entry: dict[str, Any]) -> str:
    schema, value = entry["type"], f'record["{entry["name"]}"]'
    if isinstance(schema, dict) and schema["type"] == "array":
        inner = _record_in(schema["items"])
        part = f"{inner}.from_record(part) for part in " if inner else ""
        return f"tuple({part}{value})"
    inner = _record_in(schema)
    if inner and isinstance(schema, list):
        return f"{inner}.from_record({value}) if {value} is not None else None"
    return f"{inner}.from_record({value})" if inner else value


def main(arguments: list[str]) -> int:
    """Write the modules, or with `--check` say whether they are as the schemas want them."""
    differ = 0
    for target, make in ((TARGET, module), (BINARY, lambda: _formatted(binary_module()))):
        wanted = make()
        if "--check" not in arguments:
            target.write_text(wanted, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != wanted:
            sys.stderr.write(f"schemas/{target.name} differs: run `python -m schemas.generate`\n")
            differ = 1
    return differ


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
