"""What the stream and the catalogue say, written as rows, a batch in one transaction.

Writing again changes nothing, and an older version never replaces a newer one, whoever else
writes: the comparison is made inside the database.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, case, or_, select

from schemas.types import ItemPopularity, ItemSnapshot, UserSnapshot
from stores.newest import Versioned
from stores.records.database import Database, insert_into
from stores.records.tables import (
    erased_users,
    items,
    profile_entries,
    user_profiles,
)

Row = dict[str, Any]
Preferred = Callable[[UserSnapshot], Mapping[str, float]]

# Log times guard: those of several topics are behind one version after the other.
ONLY_LATER = frozenset({"learned_log_time_ms", "catalog_log_time_ms", "updated_at"})
ONLY_EARLIER = frozenset({"created_at"})
COUNTED = {"preserve_rowcount": True}


RecordT = TypeVar("RecordT", bound=Versioned)


@dataclass(frozen=True, slots=True)
class Newest(Generic[RecordT]):
    """The newest of several records, with the latest log time of all: that one guards the row.

    Messages of several topics are behind the versions, so a later version may have an earlier log
    time; after a job that lost its state, a later log time may have an earlier version.
    """

    record: RecordT
    guard_ms: int

    def or_newer(self, found: RecordT) -> "Newest[RecordT]":
        """Choose between this and a record that stands later in the log."""
        if self.record.version > found.version and self.guard_ms >= found.log_time_ms:
            return self
        return Newest(found, max(self.guard_ms, found.log_time_ms))


def newest(records: Iterable[RecordT], key: Callable[[RecordT], str]) -> dict[str, Newest[RecordT]]:
    """The newest record of each key."""
    found: dict[str, Newest[RecordT]] = {}
    for record in records:
        known = found.get(key(record))
        found[key(record)] = known.or_newer(record) if known else Newest(record, record.log_time_ms)
    return found


class LearnedWriter:
    """Writes what the jobs emit; `preferred` reads categories and their weights from a snapshot."""

    def __init__(self, database: Database, *, preferred: Preferred = lambda _: {}) -> None:
        self._database = database
        self._preferred = preferred

    def write(
        self,
        *,
        users: Sequence[UserSnapshot] = (),
        entries: Sequence[ItemSnapshot] = (),
        moved: Sequence[ItemPopularity] = (),
    ) -> int:
        """Write all in one transaction; answer how many rows were not newer already."""
        with self._database.writing() as connection:
            return (
                _write_users(connection, users, self._preferred)
                + _write_items(connection, entries)
                + _write_popularity(connection, moved)
            )


def _write_users(
    connection: Connection, users: Sequence[UserSnapshot], preferred: Preferred
) -> int:
    """Write what was learned of each user; forget those who asked for it, with all there is."""
    living = newest(_after_erasures(connection, users), lambda user: user.user_id)
    erased_ms = _erasures(connection, living)
    rows = [
        _user_row(one, preferred)
        for user_id, one in living.items()
        if one.record.log_time_ms > erased_ms.get(_hashed(user_id), -1)
    ]
    return _upsert(connection, user_profiles, rows, guard="learned")


def _write_items(connection: Connection, entries: Sequence[ItemSnapshot]) -> int:
    """Write the catalogue's side of items; what is deleted there stays as inactive."""
    chosen = newest(entries, lambda item: item.item_id).values()
    # Deletions go first: an external id that they set free may be another item's already.
    gone = [_deleted_row(one) for one in chosen if one.record.catalog is None]
    there = [_item_row(one) for one in chosen if one.record.catalog is not None]
    return sum(_upsert(connection, items, rows, guard="catalog") for rows in (gone, there))


def _write_popularity(connection: Connection, moved: Sequence[ItemPopularity]) -> int:
    chosen = newest(moved, lambda item: item.item_id).values()
    return _upsert(connection, items, [_popularity_row(one) for one in chosen], guard="learned")


def _after_erasures(connection: Connection, users: Sequence[UserSnapshot]) -> list[UserSnapshot]:
    """Carry out the erasures of a batch; answer what stands behind them in the log."""
    last = {user.user_id: place for place, user in enumerate(users) if user.erased}
    for user_id, place in last.items():
        until = [user for user in users[: place + 1] if user.user_id == user_id]
        _erase(connection, user_id, log_time_ms=max(user.log_time_ms for user in until))
    return [user for place, user in enumerate(users) if place > last.get(user.user_id, -1)]


def _erase(connection: Connection, user_id: str, *, log_time_ms: int) -> None:
    """Delete all there is of a person, unless this request, or a later one, was carried out.

    What the person entered since then stays, however often the log is read again.
    """
    known_ms = _erasures(connection, [user_id]).get(_hashed(user_id), -1)
    if known_ms >= log_time_ms:
        return
    learned_ms = connection.scalar(
        select(user_profiles.c.learned_log_time_ms).where(user_profiles.c.user_id == user_id)
    )
    _remember_erasure(connection, user_id, log_time_ms=max(log_time_ms, learned_ms or 0))
    for table in (user_profiles, profile_entries):
        connection.execute(table.delete().where(table.c.user_id == user_id))


def _remember_erasure(connection: Connection, user_id: str, *, log_time_ms: int) -> None:
    statement = insert_into(connection, erased_users)
    given = {"user_hash": _hashed(user_id), "log_time_ms": log_time_ms}
    set_ = {"log_time_ms": statement.excluded.log_time_ms}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["user_hash"], set_=set_), [given]
    )


def _erasures(connection: Connection, user_ids: Iterable[str]) -> Mapping[str, int]:
    """Up to which log time users were erased, by the hash of their names."""
    hashes = [_hashed(user_id) for user_id in user_ids]
    if not hashes:
        return {}
    found = connection.execute(select(erased_users).where(erased_users.c.user_hash.in_(hashes)))
    return {row.user_hash: row.log_time_ms for row in found}


def _hashed(user_id: str) -> str:
    return sha256(user_id.encode()).hexdigest()


def _user_row(one: Newest[UserSnapshot], preferred: Preferred) -> Row:
    user = one.record
    return {
        "user_id": user.user_id,
        "created_at": user.first_seen_ms,
        "updated_at": user.log_time_ms,
        "last_active_at": user.timestamp_ms,
        "country_code": user.country,
        "device_type": user.device_type,
        "preferred_categories": dict(preferred(user)),
        "learned_version": user.version,
        "learned_log_time_ms": one.guard_ms,
    }


def _item_row(one: Newest[ItemSnapshot]) -> Row:
    entry = one.record.catalog
    assert entry is not None
    return {
        "item_id": entry.item_id,
        "created_at": entry.created_at_ms or entry.updated_at_ms,
        "external_id": entry.external_id,
        "item_type": entry.item_type,
        "title": entry.title,
        "description": entry.description,
        "creator_id": entry.creator_id,
        "brand_id": entry.brand_id,
        "category_id": entry.category_id,
        "categories": list(entry.categories),
        "tags": list(entry.tags),
        "language": entry.language,
        "content_rating": entry.content_rating,
        "price": entry.price,
        "availability": entry.availability,
        "image_url": entry.image_url,
        "published_at": entry.published_at_ms,
        "updated_at": entry.updated_at_ms,
        "deleted_at": None,
        "is_active": entry.is_active,
        "visibility": entry.visibility,
        "catalog_popularity_score": entry.popularity_score,
        "quality_score": entry.quality_score,
        "freshness_score": entry.freshness_score,
        "metadata": dict(entry.metadata),
        "catalog_version": one.record.version,
        "catalog_log_time_ms": one.guard_ms,
    }


def _deleted_row(one: Newest[ItemSnapshot]) -> Row:
    """The title stays for those who look at the past."""
    item = one.record
    return {
        "item_id": item.item_id,
        "created_at": item.timestamp_ms,
        "external_id": None,
        "deleted_at": item.timestamp_ms,
        "is_active": False,
        "catalog_version": item.version,
        "catalog_log_time_ms": one.guard_ms,
    }


def _popularity_row(one: Newest[ItemPopularity]) -> Row:
    moved = one.record
    return {
        "item_id": moved.item_id,
        "created_at": moved.timestamp_ms,
        "popularity_score": moved.popularity,
        "popularity_at": moved.popularity_at_ms,
        "trending_score": moved.trending,
        "total_events": moved.total_events,
        "learned_version": moved.version,
        "learned_log_time_ms": one.guard_ms,
    }


def _upsert(connection: Connection, table: Table, rows: list[Row], *, guard: str) -> int:
    """Insert rows, or set what they hold where what stands there is not newer."""
    if not rows:
        return 0
    (key,) = table.primary_key
    statement = insert_into(connection, table)
    there, given = table.c, statement.excluded
    version, log_time = f"{guard}_version", f"{guard}_log_time_ms"
    upsert = statement.on_conflict_do_update(
        index_elements=[key],
        set_={name: _next(name, there[name], given[name]) for name in rows[0] if name != key.name},
        where=or_(
            there[version].is_(None),
            there[version] <= given[version],
            there[log_time] < given[log_time],
        ),
    )
    # In one order everywhere, so that two writers never wait for each other's rows.
    ordered = sorted(rows, key=lambda row: str(row[key.name]))
    return connection.execute(upsert, ordered, execution_options=COUNTED).rowcount


def _next(name: str, stored: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[Any]:
    """What a column holds after an update; three of them go one way only."""
    if name in ONLY_EARLIER:
        return case((stored < given, stored), else_=given)
    if name in ONLY_LATER:
        return case((stored > given, stored), else_=given)
    return given
