"""What is timed while a request is followed, and what its followers beyond this process are told.

Stages and calls report here. Of a request that nobody follows, all that this costs is a look at a
context variable for each of them.
"""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

IDS = RandomIdGenerator()
W3C = TraceContextTextMapPropagator()

# What a call counts as that never came to an end while its request lasted.
UNENDED = "unended"


class Timed(Protocol):
    """A stage that ran; `began` is of the performance counter."""

    @property
    def stage(self) -> str:
        """Its name."""
        ...

    @property
    def began(self) -> float:
        """When."""
        ...

    @property
    def ms(self) -> float:
        """How long."""
        ...

    @property
    def noted(self) -> dict[str, object]:
        """What was found out."""
        ...


@dataclass(slots=True)
class Call:
    """A call to a dependency. Changes when it ends."""

    dependency: str
    began: float
    span_id: int = field(default_factory=IDS.generate_span_id)
    ended: float | None = None
    outcome: str = UNENDED


@dataclass(slots=True, kw_only=True)
class Followed:
    """A request that is followed, or one whose caller asked for it in vain (`sampled` is False).

    Changes while the request runs.
    """

    context: SpanContext
    parent: SpanContext | None
    began: float
    began_ns: int
    steps: Sequence[Timed] = ()
    fallbacks: Sequence[str] = ()
    calls: list[Call] = field(default_factory=list)

    @property
    def sampled(self) -> bool:
        """Whether its spans are sent."""
        return self.context.trace_flags.sampled

    @property
    def trace_id(self) -> str:
        """As W3C writes it."""
        return f"{self.context.trace_id:032x}"


_followed: ContextVar[Followed | None] = ContextVar("followed", default=None)
_call: ContextVar[Call | None] = ContextVar("call", default=None)


def follow(followed: Followed | None) -> None:
    """Let the request at hand be followed, or not."""
    _followed.set(followed)
    _call.set(None)


def has_stages(steps: Sequence[Timed], fallbacks: Sequence[str]) -> None:
    """Say where the stages of the request at hand will be found."""
    followed = _followed.get()
    if followed is not None:
        followed.steps, followed.fallbacks = steps, fallbacks


def begin_call(dependency: str) -> None:
    """A call to a dependency begins."""
    followed = _followed.get()
    if followed is not None:
        call = Call(dependency, time.perf_counter())
        followed.calls.append(call)
        _call.set(call)


def end_call(outcome: str) -> None:
    """The call at hand is over."""
    call = _call.get()
    if call is not None:
        call.ended, call.outcome = time.perf_counter(), outcome


def outgoing() -> dict[str, str]:
    """The headers that tell a dependency whom it works for, by W3C; none if nobody follows."""
    followed, headers = _followed.get(), dict[str, str]()
    if followed is not None:
        call = _call.get()
        context = _within(followed.context, call) if call else followed.context
        W3C.inject(headers, context=set_span_in_context(NonRecordingSpan(context)))
    return headers


def record_headers() -> list[tuple[str, bytes]]:
    """The same as Kafka's records bear it."""
    return [(name, value.encode()) for name, value in outgoing().items()]


def _within(context: SpanContext, call: Call) -> SpanContext:
    return child_of(context, call.span_id)


def child_of(context: SpanContext, span_id: int) -> SpanContext:
    """A span of the same trace."""
    return SpanContext(
        context.trace_id,
        span_id,
        is_remote=False,
        trace_flags=context.trace_flags,
        trace_state=context.trace_state,
    )


def flags(*, sampled: bool) -> TraceFlags:
    """What W3C calls them."""
    return TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
