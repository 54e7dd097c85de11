"""The lake as ClickHouse sees it: a view for each table, and the table `interactions`.

Columns and their types follow from the Avro schema, as those of the files do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.lake import EVENTS, LAKE_TABLES, LakeTable
from schemas.registry import current
from schemas.types import RECORD_NAMES, UserEvent
from stores.lake.errors import LakeError
from stores.lake.files import PART, SUFFIX, WHOLE
from stores.lake.hours import hours

_PLAIN = {
    "string": "String",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "boolean": "Bool",
}
_PLACE = {
    "topic": "LowCardinality(String)",
    "partition": "Int32",
    "offset": "Int64",
    "log_time": "DateTime64(3, 'UTC')",
}
# The numbers that the specification gives them come first; the others follow.
_SPECIFIED = ("view", "click", "like", "share", "purchase", "skip")
_GLOB = frozenset("*?{}'\\")


def views(lake: Path) -> Iterator[str]:
    """The statements that make the views, over the files that are live now."""
    if _GLOB.intersection(str(lake)):
        raise LakeError(f"ClickHouse takes some of the letters in {lake} for wildcards; move it")
    for table in LAKE_TABLES:
        names = ", ".join(f"`{name}`" for name in columns(table))
        yield f"CREATE VIEW {table.name} AS SELECT {names} FROM {_source(lake, table)}"  # noqa: S608
    yield f"CREATE VIEW interactions AS {INTERACTIONS}"


def is_empty(lake: Path) -> bool:
    """Whether a lake has no rows at all."""
    return not any(hour.live for table in LAKE_TABLES for hour in hours(lake, table))


def columns(table: LakeTable) -> dict[str, str]:
    """The names and ClickHouse types of a table's columns.

    >>> columns(EVENTS)["item_id"], columns(EVENTS)["context"]
    ('Nullable(String)', 'Map(String, String)')
    """
    own = {field["name"]: _type(field["type"]) for field in table.fields}
    return own | _PLACE


def event_types() -> str:
    """What an event can be, as ClickHouse wants it: one byte a row, with names.

    >>> event_types()[:36]
    "Enum8('view' = 1, 'click' = 2, 'like"
    """
    fields = current(RECORD_NAMES[UserEvent]).parsed["fields"]
    symbols = next(field["type"]["symbols"] for field in fields if field["name"] == "event_type")
    ordered = [*_SPECIFIED, *(symbol for symbol in symbols if symbol not in _SPECIFIED)]
    numbered = (f"'{symbol}' = {number}" for number, symbol in enumerate(ordered, start=1))
    return f"Enum8({', '.join(numbered)})"


def _source(lake: Path, table: LakeTable) -> str:
    structure = ", ".join(f"`{name}` {kind}" for name, kind in columns(table).items())
    quoted = structure.replace("'", "\\'")
    found = list(hours(lake, table))
    if not any(hour.live for hour in found):
        return f"null('{quoted}')"
    path = f"{lake}/{table.name}/day=*/hour=*/{{{PART},{WHOLE}}}*{SUFFIX}"
    replaced = sorted(name for hour in found for name in hour.replaced)
    names = ", ".join(f"'{name}'" for name in replaced)
    return f"file('{path}', Parquet, '{quoted}')" + (
        f" WHERE _file NOT IN ({names})" if names else ""
    )


def _type(avro: Any) -> str:
    options = avro if isinstance(avro, list) else [avro]
    (wanted,) = [option for option in options if option != "null"]
    inner = _bare(wanted)
    # ClickHouse has no nullable records, lists or maps: those that are missing are empty.
    scalar = isinstance(wanted, str) or wanted["type"] == "enum"
    return f"Nullable({inner})" if scalar and len(options) > 1 else inner


def _bare(avro: Any) -> str:
    if isinstance(avro, str):
        return _PLAIN[avro]
    kind = avro["type"]
    if kind == "enum":
        return "String"
    if kind == "array":
        return f"Array({_type(avro['items'])})"
    if kind == "map":
        return f"Map(String, {_type(avro['values'])})"
    fields = ", ".join(f"{field['name']} {_type(field['type'])}" for field in avro["fields"])
    return f"Tuple({fields})"


# The names and types of the specification; ids of events are any text, not only UUIDs.
INTERACTIONS = f"""
    SELECT
        event_id,
        user_id,
        ifNull(item_id, '') AS item_id,
        CAST(event_type AS {event_types()}) AS event_type,
        fromUnixTimestamp64Milli(timestamp_ms, 'UTC') AS event_timestamp,
        toUInt32(greatest(intDiv(ifNull(duration_ms, 0), 1000), 0)) AS duration_seconds,
        ifNull(completion_rate, 0) AS completion_rate,
        ifNull(session_id, '') AS session_id,
        toLowCardinality(ifNull(device_type, '')) AS device_type,
        toLowCardinality(ifNull(platform, '')) AS platform,
        toLowCardinality(ifNull(country, '')) AS country_code,
        ifNull(request_id, '') AS recommendation_id,
        toUInt16(least(ifNull(position, 0), 65535)) AS position,
        ifNull(model_version, '') AS model_version,
        ifNull(experiment_id, '') AS experiment_id,
        ifNull(variant, '') AS variant,
        toDate(event_timestamp) AS event_date
    FROM {EVENTS.name}
    WHERE events.event_type != 'erase'
    ORDER BY log_time, `partition`, `offset`
    LIMIT 1 BY event_id"""  # noqa: S608
