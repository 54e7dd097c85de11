"""The settings, section by section. A section's fields are its keys in `freshet.toml`.

Engine keys of Flink (checkpoints, restart, memory) live in `flink-conf/` and nowhere here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

Port = Annotated[int, Field(ge=1, le=65535)]
PositiveMs = Annotated[int, Field(gt=0, le=3_600_000)]
Rate = Annotated[int, Field(ge=1, le=10_000_000)]

LOOPBACK = "127.0.0.1"
JwtAlgorithm = Literal[
    "", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"
]
RECORD_SCHEMES = ("postgresql://", "sqlite:///")


class Section(BaseModel):
    """A part of the settings: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """The event log."""

    external: str = Field(
        "", description="bootstrap servers of an existing Kafka; empty: start one"
    )
    port: Port = 19092
    controller_port: Port = 19093
    partition_scale: float = Field(
        0.04, gt=0, le=1, description="share of the partitions of a full deployment (1.0)"
    )
    replication: int = Field(1, ge=1, le=5, description="copies of each partition")

    @property
    def bootstrap(self) -> str:
        """Where clients connect first."""
        return self.external or f"{LOOPBACK}:{self.port}"


class FlinkSettings(Section):
    """The stream processor."""

    external: str = Field("", description="host:port of an existing JobManager; empty: start one")
    rest_port: Port = 18081
    rpc_port: Port = 16123
    metrics_port: Port = Field(
        19249, description="Prometheus page of the JobManager; the TaskManagers' ports follow it"
    )
    taskmanagers: int = Field(4, ge=1, le=64, description="one slot each")
    parallelism: int = Field(1, ge=1, le=1024, description="subtasks of each job")

    @property
    def rest_address(self) -> str:
        """Host and port of the JobManager's REST interface."""
        return self.external or f"{LOOPBACK}:{self.rest_port}"


class RedisSettings(Section):
    """The online store; any server that speaks Redis."""

    external: SecretStr = Field(SecretStr(""), description="redis:// URL of an existing server")
    port: Port = 16379
    timeout_ms: PositiveMs = 100

    @property
    def url(self) -> str:
        """The address, with its password if it has one."""
        return self.external.get_secret_value() or f"redis://{LOOPBACK}:{self.port}/0"


class MilvusSettings(Section):
    """The vector store."""

    external: str = Field(
        "", description="http://host:port of an existing Milvus; empty: start one"
    )
    token: SecretStr = Field(SecretStr(""), description="token or user:password of that Milvus")
    port: Port = 19530
    inner_port: Port = Field(
        19540, description="first of the eleven ports in a row that its inner services use"
    )
    timeout_ms: PositiveMs = 200

    @property
    def uri(self) -> str:
        """Where clients connect."""
        return self.external or f"http://{LOOPBACK}:{self.port}"


class TritonSettings(Section):
    """The model server."""

    external: str = Field(
        "", description="host:port of an existing Triton's gRPC; empty: start one"
    )
    grpc_port: Port = 18001
    http_port: Port = 18000
    metrics_port: Port = 18002
    timeout_ms: PositiveMs = 150
    models: str = Field(
        "ranker,emotion,user_tower",
        description="what our own Triton loads when it starts, by comma; a model that isn't ready "
        "shows in `freshet stack status`",
    )

    @property
    def address(self) -> str:
        """Host and port of the gRPC interface."""
        return self.external or f"{LOOPBACK}:{self.grpc_port}"


class EventSettings(Section):
    """What counts as a valid event."""

    max_age_days: float = Field(400, gt=0, description="older than its log time by more: refused")
    max_ahead_s: float = Field(300, ge=0, description="ahead of its log time by more: refused")

    @property
    def max_age_ms(self) -> int:
        """The oldest that is taken, in milliseconds."""
        return int(self.max_age_days * 86_400_000)

    @property
    def max_ahead_ms(self) -> int:
        """The furthest ahead that is taken, in milliseconds."""
        return int(self.max_ahead_s * 1_000)


class StreamSettings(Section):
    """What the jobs remember, and for how long."""

    dedup_ids: int = Field(48, ge=0, le=4_096, description="last event ids kept of each user")
    user_lifetime_days: int = Field(
        400, ge=1, le=3_650, description="a user who is silent for longer is forgotten by the job"
    )
    buckets: int = Field(
        128,
        ge=1,
        le=32_768,
        description="groups of keys, some for each subtask; for as long as a job's state lives",
    )
    cached_states: int = Field(
        10_000, ge=1, le=10_000_000, description="states that a subtask holds in memory"
    )
    start_ms: int = Field(
        0,
        ge=0,
        description="a job without a state begins with the log's messages of this time, "
        "in milliseconds since 1970; 0: with the oldest",
    )
    group_ms: int = Field(
        3, ge=0, le=1_000, description="a message waits for so long for others of its bucket"
    )
    popularity_half_life_h: float = Field(
        24, gt=0, le=8_760, description="after so many hours an event counts half for its item"
    )
    attribution_window_s: float = Field(
        1_800, gt=0, le=86_400, description="reactions count for so long after a showing"
    )
    pending_requests: int = Field(
        8, ge=1, le=256, description="answers of a user whose reactions are awaited at a time"
    )
    bandit_prior_alpha: float = Field(
        1.0, gt=0, le=1e6, description="rewards that an item is believed to have had before any"
    )
    bandit_prior_beta: float = Field(
        1.0, gt=0, le=1e6, description="rewards that it is believed to have missed"
    )
    bandit_half_life_h: float = Field(
        0, ge=0, le=87_600, description="after so many hours a reward counts half; 0: for ever"
    )
    bandit_dedup_ids: int = Field(
        32, ge=0, le=4_096, description="last update ids kept of each item in a segment"
    )
    neighbors: int = Field(50, ge=1, le=1_000, description="items kept as neighbours of an item")
    neighbor_half_life_h: float = Field(
        0,
        ge=0,
        le=876_000,
        description="after so many hours meeting beside an item counts half; 0: it is learned",
    )
    fusion_weights: str = Field(
        "", description=".npz with what was learned to fuse modalities; empty: nothing was"
    )
    item_tell_ms: PositiveMs = Field(
        1_000, description="a busy item tells its neighbours and engagement once in so long"
    )

    @property
    def popularity_half_life_ms(self) -> int:
        """The half-life in milliseconds."""
        return int(self.popularity_half_life_h * 3_600_000)

    @property
    def neighbor_half_life_ms(self) -> int | None:
        """The half-life in milliseconds, None where it is learned."""
        chosen_h = self.neighbor_half_life_h
        return max(1, int(chosen_h * 3_600_000)) if chosen_h else None

    @property
    def bandit_half_life_ms(self) -> int:
        """The half-life of rewards in milliseconds, 0 for none."""
        return int(self.bandit_half_life_h * 3_600_000)

    @property
    def attribution_window_ms(self) -> int:
        """The window in milliseconds."""
        return int(self.attribution_window_s * 1_000)


class WriterSettings(Section):
    """The processes that carry what jobs emit into Redis and Milvus."""

    group: str = Field("freshet-writers", min_length=1)
    batch: int = Field(500, ge=1, le=10_000, description="records written in one round trip")
    user_vectors_s: float = Field(
        30.0,
        ge=0,
        le=3_600,
        description="a user's vector waits for so long, that a newer one may replace it, before it "
        "goes to Milvus; Redis has it at once",
    )
    metrics_port: Port = 18091


MOST_IN_BATCH = 100


class ServingSettings(Section):
    """The service: HTTP, and gRPC for the bandit."""

    host: str = LOOPBACK
    port: Port = 18080
    grpc_port: Port = Field(18082, description="of the BanditService, beside HTTP")
    deadline_ms: PositiveMs = 500
    most_under_way: int = Field(
        32,
        ge=1,
        le=10_000,
        description="lists ranked anew at a time; one more is made of what is in the process, at "
        "once",
    )
    most_in_batch: int = Field(
        16, ge=1, le=MOST_IN_BATCH, description="lists of one POST /v1/personalize/batch"
    )
    hedge_share: float = Field(
        0,
        ge=0,
        le=0.05,
        description="so many reads may be asked a second time when late; worth it where Redis, "
        "Milvus or Triton have replicas behind their address",
    )
    recent_interactions: int = Field(50, ge=1, le=100)
    catalog_refresh_ms: PositiveMs = 500
    kept_feedback: int = Field(
        100_000,
        ge=0,
        le=100_000_000,
        description="events kept in data_dir while Kafka is away, and acknowledged; 0: none are, "
        "and feedback is refused then",
    )
    policy: Literal["thompson", "contextual_thompson", "upper_bound", "epsilon_greedy"] = Field(
        "contextual_thompson", description="how what rewards taught is weighed against trying"
    )
    policy_weight: float = Field(
        0.3, ge=0, le=1, description="the policy's part of a score; the rest is the ranker's"
    )
    user_tower: str = Field(
        "text-hash-1:7ac6dbab",
        description="space of the vectors that the user tower was made for: it is asked where the "
        "catalogue's are of it; empty: never",
    )
    traces_s: int = Field(
        900,
        ge=0,
        le=86_400,
        description="what answers were made of is kept in Redis for so long, to explain and replay "
        "them; 0: it isn't",
    )
    traces_per_s: int = Field(
        50, ge=1, le=10_000, description="answers a second whose making is kept; more are left out"
    )
    experiments_file: str = Field(
        "", description="TOML file of experiments, read again when it changes; empty: none"
    )
    admin_token: SecretStr = Field(
        SecretStr(""), description="opens /v1/debug to who sends it; empty: closed to all"
    )
    keys_file: str = Field(
        "", description="TOML file that `freshet key` writes; empty: no keys are needed"
    )
    allow_open: bool = Field(
        default=False, description="serve without keys and tokens on an address others can reach"
    )
    jwt_algorithm: JwtAlgorithm = Field(
        "", description="the one that users' tokens are signed with; empty: none are taken"
    )
    jwt_secret: SecretStr = Field(SecretStr(""), description="for HS256 to HS512")
    jwt_public_key: str = Field("", description="PEM file, for the other algorithms")
    jwt_issuer: str = Field("", description="what the tokens' iss must be")
    jwt_audience: str = Field("", description="what the tokens' aud must be or contain")
    jwt_leeway_s: float = Field(10, ge=0, le=300, description="clocks may differ by so much")
    jwt_kept: int = Field(
        10_000,
        ge=0,
        le=10_000_000,
        description="good tokens remembered, by a digest, until they expire; 0: each is checked "
        "each time",
    )
    on_limit: Literal["refuse", "degrade"] = Field(
        "refuse", description="over its limit a list is refused, or made of popular items"
    )
    access_log: bool = Field(
        default=False, description="a line in the log for each answer: route, status, milliseconds"
    )
    tls_cert: str = Field("", description="PEM file with the certificate and its chain")
    tls_key: str = Field("", description="PEM file with its private key")


class ReasonerSettings(Section):
    """The language model that writes reasons: any endpoint like OpenAI's chat completions."""

    url: str = Field(
        "", description="https://host/v1, to which /chat/completions is added; empty: templates"
    )
    model: str = Field("", validate_default=True, description="the model's name at that endpoint")
    api_key: SecretStr = Field(SecretStr(""), description="sent as a bearer token; empty: none is")
    timeout_ms: PositiveMs = Field(
        200, description="an answer that waits for the model is out so long after it was asked for"
    )
    finish_ms: PositiveMs = Field(
        5_000, description="a text that nobody waits for any more may take so long, for next time"
    )
    most_share: float = Field(
        0.1, gt=0, le=1, description="of the requests, at most so many ask the model"
    )
    cache_s: float = Field(
        86_400, ge=1, le=31_536_000, description="a text is shown again for so long"
    )
    most_concurrent: int = Field(4, ge=1, le=1_000, description="calls under way at a time")
    extra: str = Field(
        "", description="JSON object laid over each call's body; null takes a field away"
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ValueError("should be http:// or https:// and a host; keys go into api_key")
        return url.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not (text.isascii() and (text.isprintable() and text == text.strip())):
            raise ValueError("should be printable ASCII without spaces around it")
        return key

    @field_validator("extra")
    @classmethod
    def _is_an_object(cls, extra: str) -> str:
        if extra and not isinstance(json.loads(extra), dict):
            raise ValueError("should be a JSON object")
        return extra

    @field_validator("model")
    @classmethod
    def _is_there_with_a_url(cls, model: str, given: ValidationInfo) -> str:
        if given.data.get("url") and not model:
            raise ValueError("has to be set where reasoner.url is")
        return model


class TierLimits(Section):
    """Requests a second: of one user, and of all users of the tier together."""

    personalize: Rate
    personalize_total: Rate
    feedback: Rate
    feedback_total: Rate
    explain: Rate
    explain_total: Rate


DOCUMENT_LIMITS: Mapping[str, Mapping[str, int]] = {
    "premium": {
        "personalize": 1_000,
        "personalize_total": 100_000,
        "feedback": 5_000,
        "feedback_total": 500_000,
        "explain": 100,
        "explain_total": 10_000,
    },
    "standard": {
        "personalize": 100,
        "personalize_total": 50_000,
        "feedback": 500,
        "feedback_total": 100_000,
        "explain": 10,
        "explain_total": 5_000,
    },
    "free": {
        "personalize": 10,
        "personalize_total": 10_000,
        "feedback": 50,
        "feedback_total": 20_000,
        "explain": 1,
        "explain_total": 1_000,
    },
}


class LimitSettings(Section):
    """How many requests a second are answered, by tier."""

    open_tier: Literal["", "premium", "standard", "free"] = Field(
        "", description="for those who need no key, where none are needed; empty: no limits"
    )
    burst_s: float = Field(
        1,
        ge=1,
        le=5,
        description="quiet seconds that may be made up for at once; 1: no second has more than "
        "its limit",
    )
    premium: TierLimits = TierLimits(**DOCUMENT_LIMITS["premium"])
    standard: TierLimits = TierLimits(**DOCUMENT_LIMITS["standard"])
    free: TierLimits = TierLimits(**DOCUMENT_LIMITS["free"])

    @field_validator(*DOCUMENT_LIMITS, mode="before")
    @classmethod
    def _as_documented(cls, given: Any, tier: ValidationInfo) -> Any:
        """What isn't set stays as the document has it."""
        return {**DOCUMENT_LIMITS[str(tier.field_name)], **given} if type(given) is dict else given


class LakeSettings(Section):
    """The Parquet files of everything that happened, and who answers SQL about it."""

    external: str = Field(
        "", description="directory that every TaskManager sees; empty: lake/ in data_dir"
    )
    clickhouse: SecretStr = Field(
        SecretStr(""),
        description="http://user:password@host:port/database of a ClickHouse server for "
        "`freshet sql`; empty: ClickHouse as a library, on the files",
    )
    commit_s: float = Field(
        10, ge=0.5, le=600, description="new files appear this often, with the job's checkpoints"
    )
    timeout_s: float = Field(60, gt=0, le=3_600, description="longest wait for a server's answer")
    compact_every_s: float = Field(
        3_600, ge=0, le=604_800, description="`freshet job watch` compacts this often; 0: never"
    )


class TracingSettings(Section):
    """Traces of requests, as OpenTelemetry has them."""

    endpoint: str = Field(
        "",
        description="URL of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; "
        "empty: nothing is traced",
    )
    sample: float = Field(
        0.05, ge=0, le=1, description="share that is traced of the requests that nobody traces yet"
    )
    follow_callers: bool = Field(
        default=True,
        description="a caller's traceparent says whether its request is traced; false: the share "
        "says it of all",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str) -> str:
        if not endpoint or endpoint.startswith(("http://", "https://")):
            return endpoint
        raise ValueError("a URL begins with one of http://, https://")


class RecordSettings(Section):
    """The relational store: profiles and items, for reports and for what people enter."""

    enabled: bool = Field(default=True, description="whether the writers fill it")
    url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host/database, or sqlite:////a/file; "
        "empty: records.sqlite in data_dir",
    )

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: SecretStr) -> SecretStr:
        given = url.get_secret_value()
        if not given or given.startswith(RECORD_SCHEMES):
            return url
        raise ValueError(f"a URL begins with one of {', '.join(RECORD_SCHEMES)}")


class Settings(Section):
    """Everything a deployment decides."""

    data_dir: Path = Field(Path(".freshet"), description="where servers keep data and logs")
    cache_dir: Path = Field(
        Path("~/.cache/freshet"), description="downloads that several stacks can share"
    )
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    kafka: KafkaSettings = KafkaSettings()
    flink: FlinkSettings = FlinkSettings()
    redis: RedisSettings = RedisSettings()
    milvus: MilvusSettings = MilvusSettings()
    triton: TritonSettings = TritonSettings()
    events: EventSettings = EventSettings()
    streams: StreamSettings = StreamSettings()
    writers: WriterSettings = WriterSettings()
    serving: ServingSettings = ServingSettings()
    reasoner: ReasonerSettings = ReasonerSettings()
    limits: LimitSettings = LimitSettings()
    tracing: TracingSettings = TracingSettings()
    lake: LakeSettings = LakeSettings()
    records: RecordSettings = RecordSettings()

    @property
    def lake_directory(self) -> Path:
        """Where the lake lies, as an absolute path."""
        chosen = Path(self.lake.external) if self.lake.external else self.data_dir / "lake"
        return chosen.expanduser().resolve()

    @property
    def records_url(self) -> str:
        """Where the relational store is, with its password if it has one."""
        file = self.data_dir.expanduser().resolve() / "records.sqlite"
        return self.records.url.get_secret_value() or f"sqlite:///{file}"
