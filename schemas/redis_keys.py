"""Every Redis key, declared once: its pattern, kind, lifetime and bound."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "hash", "sorted set", "list", "set", "stream"]

MINUTE_S = 60
HOUR_S = 3_600
DAY_S = 24 * HOUR_S


@dataclass(frozen=True, kw_only=True)
class RedisKey:
    """A family of keys. `holds` says what a reader finds there."""

    pattern: str
    kind: Kind
    holds: str
    ttl_s: int | None = None
    max_size: int | None = None

    def of(self, *parts: str) -> str:
        """Name one key of the family.

        >>> CONTEXT.of("u1")
        'context:u1'
        """
        return self.pattern.format(*parts)


CONTEXT = RedisKey(
    pattern="context:{}", kind="string", ttl_s=DAY_S, holds="JSON of the user's context"
)
SESSION = RedisKey(
    pattern="session:{}",
    kind="hash",
    ttl_s=HOUR_S,
    holds="user_id, start_time, device, geo, interaction_count",
)
INTERACTIONS = RedisKey(
    pattern="interactions:{}",
    kind="sorted set",
    ttl_s=DAY_S,
    max_size=100,
    holds="JSON of item_id, action, position, by event time in ms",
)
EMBEDDING = RedisKey(
    pattern="embedding:{}",
    kind="string",
    ttl_s=HOUR_S,
    holds="int64 version and 512 float32, little endian",
)
EMBEDDING_DAY = RedisKey(
    pattern="embedding:day:{}",
    kind="string",
    ttl_s=DAY_S,
    holds="int64 version and 512 float16, little endian, of any length, of the last day",
)
EMBEDDING_SESSION = RedisKey(
    pattern="embedding:session:{}",
    kind="string",
    ttl_s=30 * MINUTE_S,
    holds="int64 version, int32 number of the visit and 256 float16, little endian, of any length",
)
USER_ERASED = RedisKey(
    pattern="user_erased:{}",
    kind="string",
    ttl_s=HOUR_S,
    holds="log time in ms of the user's being forgotten, by a digest of the id; what is older "
    "isn't written any more",
)
BANDIT = RedisKey(
    pattern="bandit:{}:{}",
    kind="hash",
    holds="alpha, beta, prior_alpha, prior_beta, context_weights and variances (64 float32 each), "
    "statistics, version, log_time_ms, updated_at",
)
BANDIT_CHANGES = RedisKey(
    pattern="bandit_changes",
    kind="stream",
    max_size=100_000,
    holds="item and segment of each posterior that was written, the latest of them",
)
EDGE_SYNC = RedisKey(
    pattern="edge_sync:{}", kind="stream", max_size=100_000, holds="user_id, update_type, payload"
)

USER_FEATURES = RedisKey(
    pattern="user:features:{}",
    kind="hash",
    ttl_s=DAY_S,
    holds="last_interaction_ts, active_session, session_interactions, total_interactions, version, "
    "session_views_5min, session_clicks_5min, session_categories, top_categories of each window",
)
USER_AGGREGATES = RedisKey(
    pattern="user:agg:{}",
    kind="hash",
    ttl_s=DAY_S,
    holds="views_24h, clicks_24h, ctr_24h, "
    "avg_view_duration_24h, unique_categories_24h and others, of 5m and 1h too; since_view_ms",
)
USER_SESSION = RedisKey(
    pattern="user:session:{}",
    kind="list",
    ttl_s=30 * MINUTE_S,
    max_size=100,
    holds="JSON of item_id, event_type, timestamp",
)
ITEM_FEATURES = RedisKey(
    pattern="item:features:{}",
    kind="hash",
    holds="version, log_time_ms, timestamp_ms (the end of its windows); views, clicks, "
    "conversions of 1h, 24h and all time, carts, dismissals, ctr, ctr_24h, cvr, avg_dwell_ms, "
    "avg_completion_rate, trending_score, trends (JSON: trending sets that it is in, weights)",
)
NEIGHBORS = RedisKey(
    pattern="neighbors:{}",
    kind="hash",
    ttl_s=90 * DAY_S,
    holds="version, log_time_ms, timestamp_ms, neighbors (JSON of item ids, best first), scores "
    "(float32, little endian)",
)

ITEM = RedisKey(
    pattern="item:{}",
    kind="hash",
    holds="catalogue part: version, catalog (JSON), vector (512 float32), shown or deleted; "
    "popularity part: popularity_version, popularity, popularity_at_ms, trending, total_events",
)
ITEMS_CHANGED = RedisKey(
    pattern="items:changed",
    kind="sorted set",
    holds="item ids by the time of their last change in ms",
)
TRENDING = RedisKey(
    pattern="trending:{}",
    kind="sorted set",
    max_size=1_000,
    holds="item ids by forward-decayed weight, of a segment; `all` is everybody, with the "
    "half-life of the settings; `all:1h`, `country:DE:24h`, `device:mobile:7d` have the half-life "
    "that they name",
)

FEEDBACK_DEDUP = RedisKey(
    pattern="feedback_dedup:{}:{}:{}", kind="string", ttl_s=MINUTE_S, holds="request_id"
)
FEEDBACK_ONCE = RedisKey(
    pattern="feedback_once:{}",
    kind="string",
    ttl_s=DAY_S,
    holds="request_id or nothing; the key has a digest of user, item, event type and occasion",
)
FEEDBACK_IDEMPOTENCY = RedisKey(
    pattern="idempotency:{}", kind="string", ttl_s=DAY_S, holds="the answer given to that key"
)
REQUEST_DEDUP = RedisKey(
    pattern="request_dedup:{}", kind="string", ttl_s=30, holds="the answer given to that request"
)
EMBED_UPDATE = RedisKey(
    pattern="embed_update:{}", kind="string", ttl_s=HOUR_S, holds="1 for an interaction applied"
)
BANDIT_DEDUP = RedisKey(
    pattern="bandit_dedup:{}:{}:{}", kind="string", ttl_s=MINUTE_S, holds="1 for a reward applied"
)
RATE_LIMIT = RedisKey(
    pattern="limit:{}:{}:{}",
    kind="string",
    ttl_s=10,
    holds="JSON of tokens left, time in ms, then tenths of a second and requests in each; of a "
    "tier, an endpoint and a user",
)
RATE_LIMIT_TOTAL = RedisKey(
    pattern="limit_total:{}:{}",
    kind="string",
    ttl_s=10,
    holds="the same, of all users of a tier at an endpoint",
)
TRACE_ANSWER = RedisKey(
    pattern="trace:answer:{}",
    kind="string",
    ttl_s=15 * MINUTE_S,
    holds="AnswerTrace of a request, as Avro; the lifetime is serving.traces_s",
)
TRACE_RANKING = RedisKey(
    pattern="trace:ranking:{}",
    kind="string",
    ttl_s=18 * MINUTE_S,
    holds="RankingTrace, as Avro, by the first request that was answered from it; lives for "
    "serving.traces_s and as long as rankings are remembered",
)
TRACES = RedisKey(
    pattern="traces:{}",
    kind="sorted set",
    ttl_s=18 * MINUTE_S,
    max_size=64,
    holds="the keys of a user's traces by the time of the request in ms; what is one too many is "
    "deleted with its key",
)
WRITERS_MARK = RedisKey(
    pattern="writers:mark",
    kind="string",
    ttl_s=DAY_S,
    holds="nothing; written behind what a writer wrote, to learn when all that is on the disk",
)

KEYS = tuple(value for value in list(globals().values()) if isinstance(value, RedisKey))
