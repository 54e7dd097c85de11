"""Holds what a backfill came to against what lies in Redis."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import isclose
from pathlib import Path
from typing import Any

from freshet.backfill_run import Report
from freshet.backfill_sinks import last_file
from freshet.backfill_states import rows_of
from schemas.codec import decode
from schemas.redis_keys import BANDIT, CONTEXT, EMBEDDING, ITEM
from schemas.topics import BANDIT_POSTERIORS, EMBEDDING_UPDATES, ITEM_POPULARITY, USER_SNAPSHOTS
from schemas.types import BanditPosterior, EmbeddingUpdate, ItemPopularity, UserSnapshot
from settings import Settings
from stores.redis_server import connect, translated
from stores.views import context_json, embedding_bytes
from writers.described import described

PAGE = 500
# Sums of rewards and decayed weights depend in their last digits on the order of what they sum.
ROUNDING = 1e-6


@dataclass(kw_only=True)
class Compared:
    """How many keys in Redis are as the backfill says.

    An absent one may have lived its time there.
    """

    same: int = 0
    absent: int = 0
    different: list[str] = field(default_factory=list)

    def hold(self, key: str, expected: Any, there: Any) -> None:
        """Take note of one key; of an erased user nothing is expected."""
        if _agree(expected, there):
            self.same += 1
        elif there is None:
            self.absent += 1
        else:
            self.different.append(key)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is expected at a key: bytes, or nothing; or some numbers in the fields of a hash."""

    key: str
    value: bytes | Mapping[str, float] | None

    def command(self) -> tuple[str, ...]:
        """What to ask Redis."""
        return (
            ("HMGET", self.key, *self.value)
            if isinstance(self.value, Mapping)
            else ("GET", self.key)
        )

    def there(self, answer: Any) -> Any:
        """What Redis has at the key, None where it has nothing."""
        if not isinstance(self.value, Mapping):
            return answer
        found = {name: one for name, one in zip(self.value, answer, strict=True) if one is not None}
        return found or None


def compare(settings: Settings, directory: Path, *, report: Report) -> Compared:
    """Hold the last messages about users, items and posteriors against what lies in Redis."""
    compared = Compared()
    rows = _expected(directory)
    done = 0
    with connect(settings.redis.url) as client, translated():
        while page := list(islice(rows, PAGE)):
            for one, there in zip(page, _asked(client, page), strict=True):
                compared.hold(one.key, one.value, there)
            done += len(page)
            report(done)
    return compared


def comparable(directory: Path) -> int:
    """How many rows there are to compare."""
    return sum(1 for topic in READ for _ in rows_of(last_file(directory, topic)))


def _asked(client: Any, page: Sequence[Expected]) -> Iterator[Any]:
    with client.pipeline(transaction=False) as pipeline:
        for one in page:
            pipeline.execute_command(*one.command())
        answers = pipeline.execute()
    return (one.there(answer) for one, answer in zip(page, answers, strict=True))


def _expected(directory: Path) -> Iterator[Expected]:
    return chain.from_iterable(
        map(read, (payload for _, payload in rows_of(last_file(directory, topic))))
        for topic, read in READ.items()
    )


def _agree(expected: Any, there: Any) -> bool:
    if isinstance(expected, Mapping) and isinstance(there, Mapping):
        return expected.keys() == there.keys() and all(
            _equal(expected[name], there[name]) for name in expected
        )
    return bool(expected == there)


def _equal(expected: float, stored: bytes) -> bool:
    """Counts to the last one; sums but for their rounding."""
    try:
        if isinstance(expected, int):
            return int(stored) == expected
        return isclose(float(stored), expected, rel_tol=ROUNDING, abs_tol=ROUNDING**2)
    except ValueError:
        return False


def _context(payload: bytes) -> Expected:
    """A context as the writers write it; without consent nothing is described."""
    user = decode(payload, UserSnapshot)
    key = CONTEXT.of(user.user_id)
    if user.erased:
        return Expected(key=key, value=None)
    beside = described(user).context if user.consent else None
    return Expected(key=key, value=context_json(user, beside).encode())


def _vector(payload: bytes) -> Expected:
    update = decode(payload, EmbeddingUpdate)
    vector = embedding_bytes(update.embedding.vector, update.embedding.version)
    return Expected(key=EMBEDDING.of(update.user_id), value=None if update.erased else vector)


def _popularity(payload: bytes) -> Expected:
    moved = decode(payload, ItemPopularity)
    names = ("popularity", "popularity_at_ms", "total_events")
    return Expected(key=ITEM.of(moved.item_id), value=_numbers(moved, names))


def _posterior(payload: bytes) -> Expected:
    one = decode(payload, BanditPosterior)
    key = BANDIT.of(one.item_id, one.context_segment)
    return Expected(key=key, value=_numbers(one, ("alpha", "beta", "version")))


def _numbers(record: Any, names: Sequence[str]) -> dict[str, float]:
    return {name: getattr(record, name) for name in names}


READ = {
    USER_SNAPSHOTS.name: _context,
    EMBEDDING_UPDATES.name: _vector,
    ITEM_POPULARITY.name: _popularity,
    BANDIT_POSTERIORS.name: _posterior,
}
