"""What every request passes: an id, limits to its body, a measured answer, no naked failure."""

import asyncio
import time
from collections.abc import Collection

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError, internal
from serving.metrics import Metrics
from serving.request_scope import begin_request
from serving.spans import Followed, follow
from serving.tracing import Tracer

MAX_BODY_BYTES = 65_536
BODY_WITHIN_S = 10.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by machines.
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
OTHER = "other"
log = structlog.get_logger(__name__)


class Gate:
    """ASGI middleware around the whole application.

    `paths` are those that metrics may name, `bodies` those that read JSON.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        paths: Collection[str],
        bodies: Collection[str],
        tracer: Tracer | None = None,
        access_log: bool = False,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.paths = frozenset(paths)
        self.bodies = frozenset(bodies)
        self.tracer = tracer
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, request_id=begin_request())
        started = time.perf_counter()
        followed = self._follow(scope) if self.tracer else None
        with structlog.contextvars.bound_contextvars(**ids_of(answer.request_id, followed)):
            try:
                await self._guarded(scope, receive, answer)
            finally:
                self._observe(scope, answer, time.perf_counter() - started, followed)

    def _follow(self, scope: Scope) -> Followed | None:
        assert self.tracer is not None
        traced = scope["path"] not in UNTRACED
        followed = self.tracer.begin(Headers(scope=scope)) if traced else None
        follow(followed)
        return followed

    async def _guarded(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            check_head(scope, bodies=self.bodies)
            await self.app(scope, _Limited(receive, within_s=BODY_WITHIN_S), answer)
        except ApiError as refusal:
            await self._refuse(refusal, scope, receive, answer)
        except Exception as error:
            log.exception("unexpected error", error=type(error).__name__)
            if answer.status:
                raise
            await self._refuse(internal(), scope, receive, answer)

    async def _refuse(
        self, refusal: ApiError, scope: Scope, receive: Receive, answer: "_Answer"
    ) -> None:
        self.metrics.errors.labels(refusal.code).inc()
        await refusal.response()(scope, receive, answer)

    def _observe(
        self, scope: Scope, answer: "_Answer", seconds: float, followed: Followed | None
    ) -> None:
        path, status = self._route(scope), answer.status
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self.metrics.http_seconds.labels(method, path, status).observe(seconds)
        say = log.info if self.access_log else log.debug
        say("answered", method=method, path=path, status=status, ms=round(seconds * 1_000, 3))
        if followed is not None and self.tracer is not None:
            self.tracer.finish(
                followed,
                name=f"{method} {path}",
                attributes={
                    "http.request.method": method,
                    "http.route": path,
                    "http.response.status_code": status,
                    "freshet.request_id": answer.request_id,
                },
                failed=status >= 500 or not status,
            )

    def _route(self, scope: Scope) -> str:
        """The path as it is declared: what stands in for a part of it is nobody's business."""
        if scope["path"] in self.paths:
            return str(scope["path"])
        return str(getattr(scope.get("route"), "path", OTHER))


def ids_of(request_id: str, followed: Followed | None) -> dict[str, str]:
    """What each line of the log about a request has: its id, and that of its trace."""
    ids = {"request_id": request_id}
    return {**ids, "trace_id": followed.trace_id} if followed and followed.sampled else ids


def check_head(scope: Scope, *, bodies: Collection[str]) -> None:
    """Refuse by the headers alone what need not be read; where nothing is read, by nothing."""
    if scope["method"] != "POST" or scope["path"] not in bodies:
        return
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise too_large(f"{length} bytes")
    kind = headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(
            415,
            "unsupported_media_type",
            message=f"the content type is {kind[:80] or 'missing'}; only JSON is read",
            hint="send Content-Type: application/json",
        )


def too_large(seen: str) -> ApiError:
    """The 413."""
    return ApiError(
        413,
        "body_too_large",
        message=f"the body has {seen}; at most {MAX_BODY_BYTES} are read",
        hint="send fewer feedback entries or excluded items in one request",
    )


def too_slow(within_s: float) -> ApiError:
    """The 408; what may yet come of the body is nothing that the next answer could be for."""
    return ApiError(
        408,
        "body_too_slow",
        message=f"the body did not come within {within_s:g} s",
        hint="send the whole body at once; Content-Length must say how long it is",
        headers={"Connection": "close"},
    )


class _Limited:
    """A body that may not grow too large nor take too long, whatever its headers promised."""

    def __init__(self, receive: Receive, *, within_s: float) -> None:
        self.receive = receive
        self.within_s = within_s
        self.began = time.monotonic()
        self.complete = False
        self.seen = 0

    async def __call__(self) -> Message:
        message = await self._next()
        self.complete = not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > MAX_BODY_BYTES:
            raise too_large(f"more than {MAX_BODY_BYTES} bytes")
        return message

    async def _next(self) -> Message:
        """The next part; behind the last comes only that the client leaves, which may take long."""
        if self.complete:
            return await self.receive()
        try:
            async with asyncio.timeout(self.began + self.within_s - time.monotonic()):
                return await self.receive()
        except TimeoutError as error:
            raise too_slow(self.within_s) from error


class _Answer:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(self, send: Send, *, request_id: str) -> None:
        self.send = send
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-Id"] = self.request_id
        try:
            await self.send(message)
        except (OSError, RuntimeError) as error:
            if not has_left(error):
                raise
            log.debug("nobody is left to be answered", error=str(error))


def has_left(error: Exception) -> bool:
    """Whether an answer can't be sent because its connection is closed.

    What uvloop raises then has no kind of its own. As a fault it would be told with a traceback,
    and anybody could fill the log.
    """
    return isinstance(error, OSError) or "the handler is closed" in str(error)
