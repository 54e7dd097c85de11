"""What people enter about themselves: each entry with who made it, and when.

Nothing here is touched by the stream, and nothing that the stream learned is touched here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, literal, select

from schemas.collections import ID_MAX_LENGTH
from stores.errors import StoreRejected
from stores.records.database import STORE, Database, insert_into
from stores.records.tables import Instant, profile_entries, user_profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Who makes an entry, and when."""

    by: str
    at_ms: int


class ProfileEntries:
    """Takes entries, each in a transaction of its own; one that changes nothing leaves no trace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter_preferences(self, user_id: str, preferences: Mapping[str, Any], hand: Hand) -> None:
        """Replace what the user prefers, all of it."""
        self._enter(user_id, "explicit_preferences", lambda _: dict(preferences), hand)

    def enter_language(self, user_id: str, language: str | None, hand: Hand) -> None:
        """Set the language that the user chose."""
        self._enter(user_id, "language", lambda _: language, hand)

    def enter_external_id(self, user_id: str, external_id: str | None, hand: Hand) -> None:
        """Set the user's name elsewhere; `StoreRejected` where another user has it."""
        if external_id is not None:
            _check("external_id", external_id)
        self._enter(user_id, "external_id", lambda _: external_id, hand)

    def block_item(self, user_id: str, item_id: str, hand: Hand) -> None:
        """Never show this item to the user again."""
        self._enter(user_id, "blocked_items", _with(item_id), hand)

    def unblock_item(self, user_id: str, item_id: str, hand: Hand) -> None:
        """Take a block back."""
        self._enter(user_id, "blocked_items", _without(item_id), hand)

    def block_creator(self, user_id: str, creator_id: str, hand: Hand) -> None:
        """Never show anything of this creator to the user again."""
        self._enter(user_id, "blocked_creators", _with(creator_id), hand)

    def unblock_creator(self, user_id: str, creator_id: str, hand: Hand) -> None:
        """Take a block back."""
        self._enter(user_id, "blocked_creators", _without(creator_id), hand)

    def _enter(self, user_id: str, field: str, change: Callable[[Any], Any], hand: Hand) -> None:
        _check("user_id", user_id)
        _check("by", hand.by)
        with self._database.writing() as connection:
            stored = _locked(connection, user_id, field, at_ms=hand.at_ms)
            value = change(stored)
            if value != stored:
                _set(connection, user_id, field, value, hand)


def _locked(connection: Connection, user_id: str, field: str, *, at_ms: int) -> Any:
    """Have a row, keep others off it, and read a field."""
    row = {"user_id": user_id, "created_at": at_ms, "updated_at": at_ms}
    connection.execute(insert_into(connection, user_profiles).on_conflict_do_nothing(), [row])
    chosen = select(user_profiles.c[field]).where(user_profiles.c.user_id == user_id)
    return connection.scalar(chosen.with_for_update())


def _set(connection: Connection, user_id: str, field: str, value: Any, hand: Hand) -> None:
    stored, given = user_profiles.c.updated_at, literal(hand.at_ms, Instant)
    changed = {field: value, "updated_at": case((stored > given, stored), else_=given)}
    connection.execute(
        user_profiles.update().where(user_profiles.c.user_id == user_id).values(changed)
    )
    entry = {
        "user_id": user_id,
        "field": field,
        "value": value,
        "entered_by": hand.by,
        "entered_at": hand.at_ms,
    }
    connection.execute(profile_entries.insert(), [entry])


def _with(one: str) -> Callable[[Any], Any]:
    _check("what is blocked", one)
    return lambda stored: [*(stored or ()), *([] if one in (stored or ()) else [one])]


def _without(one: str) -> Callable[[Any], Any]:
    return lambda stored: stored and [kept for kept in stored if kept != one]


def _check(name: str, value: str) -> None:
    size = len(value.encode())
    if not 0 < size <= ID_MAX_LENGTH:
        allowed = f"1 to {ID_MAX_LENGTH} are allowed"
        raise StoreRejected(STORE, f"{name} has {size} bytes; {allowed}")
