"""Reads profiles and items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from stores.records.database import Database
from stores.records.tables import items, profile_entries, user_profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the stream found out about a user."""

    version: int
    log_time_ms: int
    last_active_ms: int
    country_code: str | None
    device_type: str | None
    preferred_categories: Mapping[str, float]
    preferred_creators: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What was said by the user, or for them."""

    external_id: str | None
    language: str | None
    explicit_preferences: Mapping[str, Any]
    blocked_items: tuple[str, ...]
    blocked_creators: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A user; `learned` is None for one of whom no event is known yet."""

    user_id: str
    created_at_ms: int
    updated_at_ms: int
    learned: Learned | None
    entered: Entered


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was entered: which field had which value from then on."""

    field: str
    value: Any
    by: str
    at_ms: int


class RecordReader:
    """Reads one user or item at a time; whoever wants many asks the database in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def profile(self, user_id: str) -> Profile | None:
        """Read a user, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(user_profiles).where(user_profiles.c.user_id == user_id)
            ).one_or_none()
        return _profile(row) if row else None

    def entries(self, user_id: str) -> Sequence[Entry]:
        """Read what was entered for a user, oldest first."""
        chosen = select(profile_entries).where(profile_entries.c.user_id == user_id)
        with self._database.reading() as connection:
            found = connection.execute(chosen.order_by(profile_entries.c.id)).all()
        return [
            Entry(field=row.field, value=row.value, by=row.entered_by, at_ms=row.entered_at)
            for row in found
        ]

    def item(self, item_id: str) -> Mapping[str, Any] | None:
        """Read an item's columns by their names, times in milliseconds; None if it isn't there."""
        with self._database.reading() as connection:
            row = connection.execute(select(items).where(items.c.item_id == item_id)).one_or_none()
        return dict(row._mapping) if row else None  # noqa: SLF001 - the public way, says SQLAlchemy


def _profile(row: Any) -> Profile:
    return Profile(
        user_id=row.user_id,
        created_at_ms=row.created_at,
        updated_at_ms=row.updated_at,
        learned=None if row.learned_version is None else _learned(row),
        entered=_entered(row),
    )


def _learned(row: Any) -> Learned:
    return Learned(
        version=row.learned_version,
        log_time_ms=row.learned_log_time_ms,
        last_active_ms=row.last_active_at,
        country_code=row.country_code,
        device_type=row.device_type,
        preferred_categories=row.preferred_categories or {},
        preferred_creators=row.preferred_creators or {},
    )


def _entered(row: Any) -> Entered:
    return Entered(
        external_id=row.external_id,
        language=row.language,
        explicit_preferences=row.explicit_preferences or {},
        blocked_items=tuple(row.blocked_items or ()),
        blocked_creators=tuple(row.blocked_creators or ()),
    )
