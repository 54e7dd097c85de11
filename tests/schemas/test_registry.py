"""Schemas and their history: published, compatible, readable for ever."""

import json
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from schemas import generate, publish, registry
from schemas.codec import HEADER_SIZE, MARKER, decode
from schemas.compatibility import conflicts
from schemas.types import RECORD_NAMES, Impression, UserEvent


def without_field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return {**schema, "fields": [entry for entry in schema["fields"] if entry["name"] != name]}


def with_field(schema: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "fields": [*schema["fields"], entry]}


def test_python_types_are_as_the_schemas_want_them() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.module()


def test_every_schema_is_published_and_compatible() -> None:
    assert publish.unpublished() == []
    assert list(publish.problems()) == []


def test_every_schema_has_a_type_and_a_history() -> None:
    assert set(RECORD_NAMES.values()) == set(registry.NAMES)
    assert all(registry.history_files(name) for name in registry.NAMES)


def test_an_old_message_is_read_with_todays_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer of a year ago knew nothing of `page_type` and still had `mood`."""
    old = with_field(
        without_field(registry.expanded("user_event"), "page_type"),
        {"name": "mood", "type": "string"},
    )
    version = registry.Version(
        name="user_event",
        fingerprint=registry.fingerprint_of(old),
        parsed=parse_schema(old, named_schemas={}),  # type: ignore[arg-type]
    )
    known = registry.published()
    monkeypatch.setattr(registry, "published", lambda: {**known, version.fingerprint: version})
    body = BytesIO()
    schemaless_writer(
        body,
        version.parsed,
        {"event_id": "e", "user_id": "u", "event_type": "view", "timestamp_ms": 7, "mood": "glad"},
    )

    event = decode(MARKER + version.fingerprint + body.getvalue(), UserEvent)

    assert (event.event_id, event.timestamp_ms, event.page_type) == ("e", 7, None)
    assert len(version.fingerprint) == HEADER_SIZE - len(MARKER)


def test_an_impression_from_before_experiments_has_none() -> None:
    first, *_ = registry.history_files("impression")
    written = registry.fingerprint_of(json.loads(first.read_text(encoding="utf-8")))
    body = BytesIO()
    record = Impression(request_id="r", user_id="u", timestamp_ms=7).to_record()
    schemaless_writer(body, registry.published()[written].parsed, record)

    impression = decode(MARKER + written + body.getvalue(), Impression)

    assert (impression.request_id, impression.experiments) == ("r", ())


def test_history_holds_no_version_twice() -> None:
    for name in registry.NAMES:
        forms = [
            json.loads(file.read_text(encoding="utf-8")) for file in registry.history_files(name)
        ]
        prints = [registry.fingerprint_of(form) for form in forms]
        assert len(set(prints)) == len(prints), name


def test_publishing_refuses_an_incompatible_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = without_field(registry.expanded("dead_letter"), "reason")
    original = registry.expanded
    monkeypatch.setattr(
        registry, "expanded", lambda name: broken if name == "dead_letter" else original(name)
    )

    assert publish.main([]) == 1
    assert "readers of version 1 can't read it: reason: is not in what was written" in (
        capsys.readouterr().err
    )


def test_the_check_names_an_unpublished_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grown = with_field(
        registry.expanded("item_signal"), {"name": "new", "type": "int", "default": 0}
    )
    original = registry.expanded
    monkeypatch.setattr(
        registry, "expanded", lambda name: grown if name == "item_signal" else original(name)
    )

    assert publish.main(["--check"]) == 1
    assert "item_signal: changed; run `python -m schemas.publish`" in capsys.readouterr().err


RECORD = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
COLOURS = {"type": "enum", "name": "C", "symbols": ["red", "blue"]}


@pytest.mark.parametrize(
    ("writer", "reader", "expected"),
    [
        ("int", "long", []),
        ("long", "int", ["the record: was long, is int"]),
        ("int", ["null", "int"], []),
        (["null", "int"], "int", ["the record: was null, is int"]),
        ("string", ["null", "int"], ["the record: string is no longer allowed"]),
        (RECORD, with_field(RECORD, {"name": "b", "type": "int", "default": 1}), []),
        (
            RECORD,
            with_field(RECORD, {"name": "b", "type": "int"}),
            ["b: is not in what was written and has no default"],
        ),
        (
            RECORD,
            {**RECORD, "fields": [{"name": "a", "type": "string"}]},
            ["a: was int, is string"],
        ),
        (
            COLOURS,
            {**COLOURS, "symbols": ["red"]},
            [": symbols blue are gone and there is no default"],
        ),
        (COLOURS, {**COLOURS, "symbols": ["red"], "default": "red"}, []),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "double"}, []),
        (
            {"type": "map", "values": "string"},
            {"type": "map", "values": "int"},
            ["[]: was string, is int"],
        ),
    ],
)
def test_what_a_reader_can_take(writer: Any, reader: Any, expected: list[str]) -> None:
    assert list(conflicts(writer=writer, reader=reader)) == expected
