"""What every call passes: an id, a readable message, a measured answer, no naked failure."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from serving.access import CALLS
from serving.admission import Admission
from serving.errors import ApiError
from serving.gate import ids_of
from serving.metrics import Metrics
from serving.request_scope import begin_request
from serving.rpc.refusals import (
    REQUEST_ID,
    RefusedCallError,
    forbidden,
    internal,
    unauthenticated,
    unreadable,
)
from serving.spans import Followed, follow
from serving.tracing import Tracer

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

# What a call counts as until it has an answer: its caller has left, or ran out of time.
LEFT = "CANCELLED"

# Of the time that a caller waits; the rest is for the way back.
SHARE_OF_CALL = 0.8

# What is the service's own fault.
FAULTS = frozenset({"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"})

log = structlog.get_logger(__name__)


class CallGate(grpc.aio.ServerInterceptor):
    """Around each method of one service; those of others pass it by.

    Messages are read here: read by gRPC itself, one that isn't UTF-8 would be INTERNAL.
    """

    def __init__(
        self,
        service: str,
        *,
        admission: Admission,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._service = service
        self._admission = admission
        self._metrics = metrics
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The method, guarded."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if handler is None or service != self._service:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(handler, method), response_serializer=handler.response_serializer
        )

    def _guarded(self, handler: Any, method: str) -> Any:
        async def answered(raw: bytes, context: Context) -> Any:
            started, code = time.perf_counter(), LEFT
            request_id = begin_request()
            followed = self._follow(context)
            try:
                with structlog.contextvars.bound_contextvars(**ids_of(request_id, followed)):
                    self._let_in(method, context)
                    answer = await _answer(handler, raw, context)
                context.set_trailing_metadata(((REQUEST_ID, request_id),))
                code = grpc.StatusCode.OK.name
            except RefusedCallError as refusal:
                code = refusal.code.name
                self._metrics.errors.labels(refusal.reason).inc()
                await refusal.abort(context, request_id)
            finally:
                self._metrics.grpc_seconds.labels(method, code).observe(
                    time.perf_counter() - started
                )
                self._finish(followed, method, code, request_id)
            return answer

        return answered

    def _follow(self, context: Context) -> Followed | None:
        followed = self._tracer.begin(_headers(context)) if self._tracer else None
        follow(followed)
        return followed

    def _finish(self, followed: Followed | None, method: str, code: str, request_id: str) -> None:
        if followed is None or self._tracer is None:
            return
        self._tracer.finish(
            followed,
            name=f"{self._service}/{method}",
            attributes={
                "rpc.system": "grpc",
                "rpc.service": self._service,
                "rpc.method": method,
                "rpc.grpc.status_code": grpc.StatusCode[code].value[0],
                "freshet.request_id": request_id,
            },
            failed=code in FAULTS,
        )

    def _let_in(self, method: str, context: Context) -> None:
        """Raise unless the caller may make this call; users' tokens reach users, not items."""
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        try:
            caller = self._admission.caller(str(sent))
        except ApiError as error:
            raise unauthenticated(error.message) from error
        if caller.kind == "anonymous" and not self._admission.is_open:
            raise unauthenticated("the metadata has no `authorization` with a key")
        if caller.kind == "user" or not caller.may(CALLS[method]):
            raise forbidden(
                f"{method} needs a key with the scope {CALLS[method]}; "
                f"`freshet key create --scope {CALLS[method]}` makes one"
            )


def _headers(context: Context) -> dict[str, str]:
    sent = context.invocation_metadata() or ()
    return {key: value for key, value in sent if isinstance(value, str)}


async def _answer(handler: Any, raw: bytes, context: Context) -> Any:
    try:
        request = handler.request_deserializer(raw)
    except DecodeError as error:
        raise unreadable() from error
    try:
        return await handler.unary_unary(request, context)
    except RefusedCallError:
        raise
    except Exception as error:
        log.exception("unexpected error", error=type(error).__name__)
        raise internal() from error


def time_left_s(context: Context) -> float | None:
    """How long an answer may take, None where the caller said nothing of it."""
    left: float | None = context.time_remaining()
    return None if left is None else left * SHARE_OF_CALL
