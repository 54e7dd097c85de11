"""Who has been erased, and up to when: known without names.

An `erase` event removes its user's rows up to its own log time, itself among them. What is kept is
a keyed hash of the user's id and that time, because rows from before it may still come, from a
topic that is read more slowly. The key is made once for each lake; whoever has both key and list
can ask whether a given id was erased, and no more.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from schemas.lake import REWARDS, SNAPSHOTS, LakeTable
from stores.lake.errors import LakeError
from stores.lake.files import sync_directory

FILE = "_erasures.json"
ERASE = "erase"
HASH_BYTES = 16


@dataclass(frozen=True)
class Erasure:
    """A user, by hash, whose rows up to a log time are to go."""

    user: str
    log_time_ms: int


@dataclass(frozen=True)
class Erasures:
    """Every erasure of a lake, in the order in which they were found."""

    key: bytes
    found: tuple[Erasure, ...]

    @classmethod
    def load(cls, lake: Path) -> "Erasures":
        """Those of a lake; none yet, and a new key, where it has no list."""
        file = lake / FILE
        if not file.exists():
            return cls(secrets.token_bytes(32), ())
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            found = tuple(Erasure(one["user"], one["log_time_ms"]) for one in stored["erased"])
            return cls(bytes.fromhex(stored["key"]), found)
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"{file} can't be read ({error}); bring it back from a copy: "
                "without it, late rows of erased users would stay"
            ) from error

    def save(self, lake: Path) -> None:
        """Have them on disk, all or none."""
        content = {
            "key": self.key.hex(),
            "erased": [{"user": one.user, "log_time_ms": one.log_time_ms} for one in self.found],
        }
        draft = lake / f".{FILE}"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(lake / FILE)
        sync_directory(lake)

    def with_events(self, events: Iterable[tuple[str, int]]) -> "Erasures":
        """With the users and log times of more erase events; those known already add nothing."""
        new = (Erasure(self._hash(user_id), at_ms) for user_id, at_ms in sorted(events))
        known = set(self.found)
        return Erasures(self.key, (*self.found, *(one for one in new if one not in known)))

    def of(self, user_ids: Sequence[str], *, since: int = 0) -> Mapping[str, int]:
        """The erased among users, and up to when; only by erasures from number `since` on."""
        until: dict[str, int] = {}
        for one in self.found[since:]:
            until[one.user] = max(one.log_time_ms, until.get(one.user, one.log_time_ms))
        if not until:
            return {}
        hashed = ((user_id, self._hash(user_id)) for user_id in user_ids)
        return {user_id: until[name] for user_id, name in hashed if name in until}

    def kept(self, table: LakeTable, rows: pa.Table, *, since: int = 0) -> pa.Table:
        """The rows that stay."""
        names = rows["user_id"].unique().drop_null().to_pylist()
        erased = self.of(names, since=since)
        if not erased:
            return rows
        users = pa.array(list(erased), pa.string())
        limits = pa.array(list(erased.values()), pa.int64())
        limit = limits.take(pc.index_in(rows["user_id"], users).combine_chunks())
        gone = pc.less_equal(known_since_ms(table, rows), limit)
        return rows.filter(pc.invert(pc.fill_null(gone, fill_value=False)))

    def _hash(self, user_id: str) -> str:
        return hashlib.blake2b(user_id.encode(), key=self.key, digest_size=HASH_BYTES).hexdigest()


def known_since_ms(table: LakeTable, rows: pa.Table) -> pa.ChunkedArray:
    """When the log took what a row tells of: a snapshot or reward is later than its event."""
    own = rows["log_time"].cast(pa.int64())
    if table not in (REWARDS, SNAPSHOTS):
        return own
    behind = rows["log_time_ms"]
    return pc.if_else(pc.greater(behind, 0), behind, own)


def known_since_columns(table: LakeTable) -> list[str]:
    """The columns that decide whether an erasure reaches a row."""
    return ["user_id", "log_time", *(["log_time_ms"] if table in (REWARDS, SNAPSHOTS) else [])]
