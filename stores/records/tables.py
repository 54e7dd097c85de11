"""The tables of the relational store, each column with the one who may write it.

What a stream learned and what a person or a catalogue entered stand in columns of their own; no
statement of one writes a column of the other (`LEARNED_OF_USERS`, `ENTERED_OF_USERS` and so on).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)
from sqlalchemy.dialects.postgresql import JSONB

from schemas.collections import ID_MAX_LENGTH

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Instant(TypeDecorator[int]):
    """Milliseconds since 1970 here, a time with its zone in PostgreSQL, in UTC in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: int | None, _: Dialect) -> datetime | None:
        """Exact, unlike a division by 1,000."""
        return None if value is None else EPOCH + value * MS

    def process_result_value(self, value: datetime | None, _: Dialect) -> int | None:
        """SQLite gives times without a zone."""
        return None if value is None else (value.replace(tzinfo=value.tzinfo or UTC) - EPOCH) // MS


Structure = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Identifier = String(ID_MAX_LENGTH)

metadata = MetaData()

schema_version = Table("records_schema", metadata, Column("version", Integer, nullable=False))

# Written by the stream: what it learned, and the version and log time that guard it.
_learned_of_users: tuple[Column[Any], ...] = (
    Column("last_active_at", Instant),
    Column("country_code", String),
    Column("device_type", String),
    Column("preferred_categories", Structure),
    Column("preferred_creators", Structure),
    Column("learned_version", BigInteger),
    Column("learned_log_time_ms", BigInteger),
)
# Written when a person says so.
_entered_of_users: tuple[Column[Any], ...] = (
    Column("external_id", Identifier, unique=True),
    Column("language", String),
    Column("explicit_preferences", Structure),
    Column("blocked_items", Structure),
    Column("blocked_creators", Structure),
)

user_profiles = Table(
    "user_profiles",
    metadata,
    Column("user_id", Identifier, primary_key=True),
    # The earliest and the latest that either side knows of: both may move them, in any order.
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    *_learned_of_users,
    *_entered_of_users,
    Index("idx_user_profiles_last_active", "last_active_at"),
    Index("idx_user_profiles_country", "country_code"),
)

profile_entries = Table(
    "profile_entries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("user_id", Identifier, nullable=False),
    Column("field", String, nullable=False),
    Column("value", Structure),
    Column("entered_by", String, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Index("idx_profile_entries_user", "user_id", "id"),
)

# Keeps what is older than the request out; the name is a hash, so that the person is not in it.
erased_users = Table(
    "erased_users",
    metadata,
    Column("user_hash", String(64), primary_key=True),
    Column("log_time_ms", BigInteger, nullable=False),
)

# Written by the stream: computed scores.
_learned_of_items: tuple[Column[Any], ...] = (
    Column("popularity_score", Double, nullable=False, server_default="0"),
    Column("popularity_at", Instant),
    Column("trending_score", Double),
    Column("total_events", BigInteger),
    Column("learned_version", BigInteger),
    Column("learned_log_time_ms", BigInteger),
)
# Written as the catalogue says.
_entered_of_items: tuple[Column[Any], ...] = (
    Column("external_id", Identifier, unique=True),
    Column("item_type", String, nullable=False, server_default="unknown"),
    Column("title", String),
    Column("description", String),
    Column("creator_id", String),
    Column("brand_id", String),
    Column("category_id", String),
    Column("categories", Structure),
    Column("tags", Structure),
    Column("language", String),
    Column("content_rating", String),
    Column("price", Double),
    Column("availability", String),
    Column("image_url", String),
    Column("published_at", Instant),
    Column("updated_at", Instant),
    Column("deleted_at", Instant),
    Column("is_active", Boolean, nullable=False, server_default="1"),
    Column("visibility", String, nullable=False, server_default="public"),
    Column("catalog_popularity_score", Double),
    Column("quality_score", Double, nullable=False, server_default="0"),
    Column("freshness_score", Double, nullable=False, server_default="1"),
    Column("metadata", Structure),
    Column("catalog_version", BigInteger),
    Column("catalog_log_time_ms", BigInteger),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Identifier, primary_key=True),
    Column("created_at", Instant, nullable=False),
    *_learned_of_items,
    *_entered_of_items,
    Index("idx_items_type", "item_type"),
    Index("idx_items_created", "created_at"),
    Index("idx_items_popularity", "popularity_score"),
    Index("idx_items_categories", "categories", postgresql_using="gin").ddl_if("postgresql"),
)


def _names(columns: Iterable[Column[Any]]) -> frozenset[str]:
    return frozenset(column.name for column in columns)


LEARNED_OF_USERS = _names(_learned_of_users)
ENTERED_OF_USERS = _names(_entered_of_users)
LEARNED_OF_ITEMS = _names(_learned_of_items)
ENTERED_OF_ITEMS = _names(_entered_of_items)
