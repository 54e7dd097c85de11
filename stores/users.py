"""How what is known of users goes into Redis: keys and arguments of the scripts in `lua/`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from hashlib import blake2b
from typing import Any

from schemas.redis_keys import (
    CONTEXT,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    INTERACTIONS,
    SESSION,
    TRACES,
    USER_AGGREGATES,
    USER_ERASED,
    USER_FEATURES,
)
from schemas.types import EmbeddingUpdate, UserSnapshot
from stores.newest import newer
from stores.views import context_json, day_bytes, embedding_bytes, interaction_json, session_bytes

Call = tuple[list[str], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a snapshot says beside its own fields: hashes of features and aggregates, context."""

    features: Mapping[str, Any] = field(default_factory=dict)
    aggregates: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


Describe = Callable[[UserSnapshot], Described]
NOTHING = Described()


def say_nothing(_: UserSnapshot) -> Described:
    """Describe nobody: for tools that write users without the mathematics."""
    return NOTHING


def user_calls(users: Sequence[UserSnapshot], describe: Describe) -> Iterator[Call]:
    """One call a user, of snapshots that stand in the log's order."""
    for group in _by_user(users):
        yield _user_call(group, describe)


def embedding_calls(updates: Sequence[EmbeddingUpdate]) -> Iterator[Call]:
    """One call a user, of updates that stand in the log's order."""
    for group in _by_user(updates):
        yield _embedding_call(group)


def _by_user(records: Sequence[Any]) -> Iterable[list[Any]]:
    groups: dict[str, list[Any]] = {}
    for record in records:
        groups.setdefault(record.user_id, []).append(record)
    return groups.values()


def _user_call(snapshots: list[UserSnapshot], describe: Describe) -> Call:
    """What stands before a user was forgotten is left out; the script forgets first."""
    purges = [at for at, one in enumerate(snapshots) if one.erased or not one.consent]
    purge = snapshots[purges[-1]] if purges else None
    after = snapshots[purges[-1] + 1 :] if purges else snapshots
    told = after if purge is None or purge.erased else [purge, *after]
    user = reduce(newer, told) if told else None
    last = user or snapshots[-1]
    described = describe(user) if user is not None and user.consent else NOTHING
    interactions = [one.interaction for one in after]
    context = "" if user is None else context_json(user, described.context)
    features = {} if user is None or not user.consent else _features(user, described)
    arguments = [
        *(last.version, last.log_time_ms, context),
        *(CONTEXT.ttl_s, INTERACTIONS.ttl_s, USER_FEATURES.ttl_s, SESSION.ttl_s),
        *(USER_ERASED.ttl_s, INTERACTIONS.max_size, purge.log_time_ms if purge else 0),
        *(SESSION.of(""), len(interactions)),
        *(part for one in interactions for part in (one.timestamp_ms, interaction_json(one))),
        *(len(features), *_flat(features)),
        *(len(described.aggregates), *_flat(described.aggregates)),
        *(_flat(_session(user)) if features and user else ()),
    ]
    return _user_keys(last), arguments


def _user_keys(user: UserSnapshot) -> list[str]:
    shared = (CONTEXT, INTERACTIONS, USER_FEATURES, USER_AGGREGATES)
    keys = [*(key.of(user.user_id) for key in shared), erased_key(user.user_id)]
    keys.append(TRACES.of(user.user_id))
    return [*keys, *([SESSION.of(user.session_id)] if user.session_id else [])]


def erased_key(user_id: str) -> str:
    """Where it stands that a user was forgotten: without the id, so that nothing of it is kept."""
    return USER_ERASED.of(blake2b(user_id.encode(), digest_size=16).hexdigest())


def _features(user: UserSnapshot, described: Described) -> dict[str, Any]:
    return {
        "last_interaction_ts": user.timestamp_ms,
        "active_session": user.session_id or "",
        "session_interactions": user.session_interactions,
        "total_interactions": user.total_interactions,
        "version": user.version,
        **described.features,
    }


def _session(user: UserSnapshot) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "start_time": user.session_start_ms,
        "device": user.device_type or "",
        "geo": json.dumps({"country": user.country}) if user.country else "{}",
        "interaction_count": user.session_interactions,
    }


def _embedding_call(updates: list[EmbeddingUpdate]) -> Call:
    erased = [at for at, one in enumerate(updates) if one.erased]
    after = updates[erased[-1] + 1 :] if erased else updates
    purge_ms = updates[erased[-1]].log_time_ms if erased else 0
    last = max(after, key=lambda one: one.embedding.version) if after else updates[-1]
    keys = [key.of(last.user_id) for key in (EMBEDDING, EMBEDDING_DAY, EMBEDDING_SESSION)]
    arguments = [
        *(last.embedding.version, last.log_time_ms, purge_ms),
        *(EMBEDDING.ttl_s, EMBEDDING_DAY.ttl_s, EMBEDDING_SESSION.ttl_s, USER_ERASED.ttl_s),
        *(_vectors(last) if after else ("", "", "")),
    ]
    return [*keys, erased_key(last.user_id)], arguments


def _vectors(update: EmbeddingUpdate) -> tuple[bytes, bytes, bytes]:
    version = update.embedding.version
    return (
        embedding_bytes(update.embedding.vector, version),
        day_bytes(update.day_vector, version) if update.day_vector else b"",
        session_bytes(update.session_vector, version, update.session_number)
        if update.session_vector
        else b"",
    )


def _flat(fields: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in fields.items():
        yield name
        yield json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
