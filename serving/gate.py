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

MAX_BODY_BYTES = 65_536
BODY_WITHIN_S = 10.0
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
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.paths = frozenset(paths)
        self.bodies = frozenset(bodies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, request_id=begin_request())
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            await self._guarded(scope, receive, answer)
        self._observe(scope, answer.status, time.perf_counter() - started)

    async def _guarded(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            check_head(scope, bodies=self.bodies)
            await self.app(scope, _Limited(receive, within_s=BODY_WITHIN_S), answer)
        except ApiError as refusal:
            await self._refuse(refusal, scope, receive, answer)
        except Exception as error:
            log.exception("unexpected error", error=repr(error))
            if answer.status:
                raise
            await self._refuse(internal(), scope, receive, answer)

    async def _refuse(
        self, refusal: ApiError, scope: Scope, receive: Receive, answer: "_Answer"
    ) -> None:
        self.metrics.errors.labels(refusal.code).inc()
        await refusal.response()(scope, receive, answer)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        self.metrics.http_seconds.labels(scope["method"], path, status).observe(seconds)
        log.debug("answered", method=scope["method"], path=path, status=status)


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
