"""Sends what was timed in followed requests to a collector of traces, by OTLP over HTTP.

Spans are made of it after the answer. Neither users nor items are in them: a span has a route,
stages, dependencies, numbers, and the request's id.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Lock, Timer

import structlog
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.span import INVALID_SPAN_CONTEXT
from opentelemetry.util.types import AttributeValue

from serving.metrics import Metrics
from serving.spans import IDS, W3C, Call, Followed, Timed, child_of, flags
from settings.model import TracingSettings

SERVICE = "freshet-api"
PATH = "/v1/traces"
TRACEPARENT = "traceparent"

# Spans that wait for the collector; some thirteen make a request.
CAPACITY = 20_000
BATCH = 512
SEND_EVERY_MS = 2_000
CLOSE_WITHIN_S = 3.0

PRODUCERS = frozenset({"kafka"})
ERROR = Status(StatusCode.ERROR)
UNSET = Status(StatusCode.UNSET)

Attributes = Mapping[str, AttributeValue]
log = structlog.get_logger(__name__)


class Waiting:
    """Counts the spans that wait, so that they stay few."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._count = 0
        self._lock = Lock()

    def take(self, count: int) -> bool:
        """Let some more wait, or say that there are too many."""
        with self._lock:
            fits = self._count + count <= self._capacity
            self._count += count if fits else 0
        return fits

    def leave(self, count: int) -> None:
        """Some wait no more."""
        with self._lock:
            self._count -= count


class CountedExporter(SpanExporter):
    """Sends spans, counts them, and says once when the collector is away and when it is back."""

    def __init__(self, exporter: SpanExporter, *, waiting: Waiting, metrics: Metrics) -> None:
        self._exporter = exporter
        self._waiting = waiting
        self._metrics = metrics
        self._is_well = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some; what can't be sent is gone."""
        try:
            result = self._exporter.export(spans)
        finally:
            self._waiting.leave(len(spans))
        well = result is SpanExportResult.SUCCESS
        self._metrics.spans.labels("sent" if well else "failed").inc(len(spans))
        if well is not self._is_well:
            self._tell(well=well)
        return result

    def _tell(self, *, well: bool) -> None:
        self._is_well = well
        if well:
            log.info("traces are sent again")
        else:
            log.warning("traces can't be sent and are lost; is tracing.endpoint right, and up?")

    def shutdown(self) -> None:
        """Send no more, not even again."""
        self._exporter.shutdown()


class Tracer:
    """Decides which requests are followed, and hands what was timed over when they are answered."""

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        sampler: Sampler,
        metrics: Metrics,
        capacity: int = CAPACITY,
    ) -> None:
        self._sampler = sampler
        self._metrics = metrics
        self._waiting = Waiting(capacity)
        self._exporter = CountedExporter(exporter, waiting=self._waiting, metrics=metrics)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=capacity,
            schedule_delay_millis=SEND_EVERY_MS,
            max_export_batch_size=min(BATCH, capacity),
        )
        self._resource = Resource.create(
            {"service.name": SERVICE, "service.version": version("freshet")}
        )
        self._scope = InstrumentationScope("freshet.serving")

    def begin(self, headers: Mapping[str, str]) -> Followed | None:
        """A request comes; None if it is not followed, and nobody before us follows it."""
        parent = parent_of(headers)
        trace_id = parent.trace_id if parent else IDS.generate_trace_id()
        decision = self._sampler.should_sample(W3C.extract(headers), trace_id, "")
        sampled = decision.decision is Decision.RECORD_AND_SAMPLE
        if not sampled and parent is None:
            return None
        context = SpanContext(
            trace_id,
            IDS.generate_span_id(),
            is_remote=False,
            trace_flags=flags(sampled=sampled),
            trace_state=decision.trace_state,
        )
        return Followed(
            context=context,
            parent=parent,
            began=time.perf_counter(),
            began_ns=time.time_ns(),
        )

    def finish(
        self, followed: Followed, *, name: str, attributes: Attributes, failed: bool
    ) -> None:
        """A followed request is answered."""
        if not followed.sampled:
            return
        spans = list(self._spans(followed, name=name, attributes=attributes, failed=failed))
        if not self._waiting.take(len(spans)):
            self._metrics.spans.labels("dropped").inc(len(spans))
            return
        for span in spans:
            self._processor.on_end(span)

    def flush(self) -> None:
        """Send what waits, now."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send what waits, within a short time, and no more."""
        impatience = Timer(CLOSE_WITHIN_S, self._exporter.shutdown)
        impatience.daemon = True
        impatience.start()
        self._processor.shutdown()  # type: ignore[no-untyped-call]
        impatience.cancel()

    def _spans(
        self, followed: Followed, *, name: str, attributes: Attributes, failed: bool
    ) -> Iterator[ReadableSpan]:
        ended = time.perf_counter()
        yield self._span(
            name,
            followed.context,
            followed.parent,
            kind=SpanKind.SERVER,
            at=(_wall(followed, followed.began), _wall(followed, ended)),
            attributes={**attributes, **_fallbacks(followed)},
            status=ERROR if failed else UNSET,
        )
        stages = [
            (one, child_of(followed.context, IDS.generate_span_id())) for one in followed.steps
        ]
        for step, context in stages:
            yield self._span(
                step.stage,
                context,
                followed.context,
                kind=SpanKind.INTERNAL,
                at=(_wall(followed, step.began), _wall(followed, step.began + step.ms / 1_000)),
                attributes=numbers_of(step.noted),
            )
        for call in followed.calls:
            yield self._call(followed, call, stages, ended)

    def _call(
        self,
        followed: Followed,
        call: Call,
        stages: Sequence[tuple[Timed, SpanContext]],
        ended: float,
    ) -> ReadableSpan:
        return self._span(
            call.dependency,
            child_of(followed.context, call.span_id),
            around(call, stages) or followed.context,
            kind=SpanKind.PRODUCER if call.dependency in PRODUCERS else SpanKind.CLIENT,
            at=(_wall(followed, call.began), _wall(followed, call.ended or ended)),
            attributes={"peer.service": call.dependency, "freshet.outcome": call.outcome},
            status=UNSET if call.outcome == "ok" else ERROR,
        )

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        *,
        kind: SpanKind,
        at: tuple[int, int],
        attributes: Attributes,
        status: Status = UNSET,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            dict(attributes),
            kind=kind,
            status=status,
            start_time=at[0],
            end_time=at[1],
            instrumentation_scope=self._scope,
        )


def tracer_of(settings: TracingSettings, metrics: Metrics) -> Tracer | None:
    """What the settings ask for; None where nothing is to be traced."""
    if not settings.endpoint:
        return None
    endpoint = settings.endpoint.rstrip("/").removesuffix(PATH) + PATH
    share = TraceIdRatioBased(settings.sample)
    return Tracer(
        OTLPSpanExporter(endpoint),
        sampler=ParentBased(share) if settings.follow_callers else share,
        metrics=metrics,
    )


@asynccontextmanager
async def closed_at_last(tracer: Tracer | None) -> AsyncIterator[None]:
    """Have what waits sent on the way out."""
    try:
        yield
    finally:
        if tracer is not None:
            await asyncio.to_thread(tracer.close)


def parent_of(headers: Mapping[str, str]) -> SpanContext | None:
    """The caller's span, None where they sent none, or none that can be read."""
    if TRACEPARENT not in headers:
        return None
    context = get_current_span(W3C.extract(headers)).get_span_context()
    return None if context == INVALID_SPAN_CONTEXT else context


def around(call: Call, stages: Sequence[tuple[Timed, SpanContext]]) -> SpanContext | None:
    """The stage in which a call began; stages come one after the other."""
    place = bisect_right(stages, call.began, key=lambda one: one[0].began) - 1
    if place < 0:
        return None
    step, context = stages[place]
    return context if call.began <= step.began + step.ms / 1_000 else None


def numbers_of(noted: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Of what a stage noted, what names neither a user nor an item.

    >>> numbers_of({"candidates": 7, "cold": False, "nearest": "an item"})
    {'freshet.candidates': 7, 'freshet.cold': False}
    """
    return {
        f"freshet.{name}": value
        for name, value in noted.items()
        if isinstance(value, bool | int | float)
    }


def _fallbacks(followed: Followed) -> dict[str, AttributeValue]:
    return {"freshet.fallbacks": tuple(followed.fallbacks)} if followed.fallbacks else {}


def _wall(followed: Followed, at: float) -> int:
    """Nanoseconds since 1970 of a reading of the performance counter."""
    return followed.began_ns + round((at - followed.began) * 1e9)
