"""What every request passes: an id, limits to its body, a measured answer, no naked failure."""

import time
from collections.abc import Collection

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError, internal
from serving.metrics import Metrics
from serving.request_scope import begin_request

MAX_BODY_BYTES = 65_536
log = structlog.get_logger(__name__)


class Gate:
    """ASGI middleware around the whole application.

    `paths` are those that metrics may name, `bodies` those that read JSON.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, paths: Collection[str], bodies: Collection[str]
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
            await self.app(scope, _Limited(receive), answer)
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


class _Limited:
    """A body that may not grow too large, whatever its headers promised."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.seen = 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.seen += len(message.get("body", b""))
        if self.seen > MAX_BODY_BYTES:
            raise too_large(f"more than {MAX_BODY_BYTES} bytes")
        return message


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
        await self.send(message)
