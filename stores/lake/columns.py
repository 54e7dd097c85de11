"""The columns of a table, as Arrow and Parquet know them, made from the Avro schema."""

from functools import cache
from typing import Any

import pyarrow as pa

from schemas.lake import PAYLOAD, LakeTable

_PLAIN = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_PLACE = (
    pa.field("topic", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("log_time", pa.timestamp("ms", tz="UTC"), nullable=False),
)


@cache
def arrow_schema(table: LakeTable) -> pa.Schema:
    """The columns of a record, then its place in the log, then the message itself.

    >>> from schemas.lake import EVENTS
    >>> arrow_schema(EVENTS).names[:3], arrow_schema(EVENTS).names[-2:]
    (['event_id', 'user_id', 'event_type'], ['log_time', 'payload'])
    """
    columns = [_field(field["name"], field["type"]) for field in table.fields]
    return pa.schema([*columns, *_PLACE, pa.field(PAYLOAD, pa.binary(), nullable=False)])


def _field(name: str, avro: Any) -> pa.Field:
    options = avro if isinstance(avro, list) else [avro]
    wanted = [option for option in options if option != "null"]
    return pa.field(name, arrow_type(wanted[0]), nullable=len(wanted) < len(options))


def arrow_type(avro: Any) -> pa.DataType:
    """The Arrow type of an Avro type that is no union."""
    if isinstance(avro, str):
        return _PLAIN[avro]
    kind = avro["type"]
    if kind == "enum":
        return pa.string()
    if kind == "array":
        return pa.list_(_field("item", avro["items"]))
    if kind == "map":
        return pa.map_(pa.string(), _field("value", avro["values"]))
    if kind == "record":
        return pa.struct([_field(field["name"], field["type"]) for field in avro["fields"]])
    return arrow_type(kind)
