"""Calls that are refused: what was wrong, the value seen, what to do next, for people and code."""

from typing import Any, NoReturn

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status

DOMAIN = "freshet"
REQUEST_ID = "x-request-id"


class RefusedCallError(Exception):
    """A call that isn't answered."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        *,
        message: str,
        field: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    async def abort(self, context: grpc.aio.ServicerContext[Any, Any], request_id: str) -> NoReturn:
        """End a call with this refusal."""
        status = to_status(self._status(request_id))
        trailing = (*(status.trailing_metadata or ()), (REQUEST_ID, request_id))
        await context.abort(self.code, status.details, trailing)

    def _status(self, request_id: str) -> Status:
        told = Status(code=self.code.value[0], message=self.message)
        told.details.add().Pack(ErrorInfo(reason=self.reason.upper(), domain=DOMAIN))
        told.details.add().Pack(RequestInfo(request_id=request_id))
        if self.field is not None:
            violation = BadRequest.FieldViolation(field=self.field, description=self.message)
            told.details.add().Pack(BadRequest(field_violations=[violation]))
        if self.retry_after_s is not None:
            retry = RetryInfo()
            retry.retry_delay.seconds = self.retry_after_s
            told.details.add().Pack(retry)
        return told


def invalid(field: str, message: str, *, reason: str = "invalid_value") -> RefusedCallError:
    """The refusal of a value."""
    return RefusedCallError(grpc.StatusCode.INVALID_ARGUMENT, reason, message=message, field=field)


def unauthenticated(message: str) -> RefusedCallError:
    """The refusal of a call of nobody known."""
    return RefusedCallError(grpc.StatusCode.UNAUTHENTICATED, "unauthorized", message=message)


def forbidden(message: str) -> RefusedCallError:
    """The refusal of a call whose caller may not make it."""
    return RefusedCallError(grpc.StatusCode.PERMISSION_DENIED, "forbidden", message=message)


def unavailable(message: str, *, retry_after_s: int) -> RefusedCallError:
    """The refusal that asks to come back."""
    return RefusedCallError(
        grpc.StatusCode.UNAVAILABLE, "unavailable", message=message, retry_after_s=retry_after_s
    )


def too_late(message: str) -> RefusedCallError:
    """The refusal of a call whose own time is over."""
    return RefusedCallError(grpc.StatusCode.DEADLINE_EXCEEDED, "too_late", message=message)


def unreadable() -> RefusedCallError:
    """The refusal of bytes that are no such message."""
    return RefusedCallError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "unreadable",
        message="the message can't be read; is it made from this service's .proto, in UTF-8?",
    )


def internal() -> RefusedCallError:
    """A fault in the program; it tells nothing of the inside."""
    return RefusedCallError(
        grpc.StatusCode.INTERNAL,
        "internal",
        message="the service failed to make an answer; if it stays, report the x-request-id "
        "with the service's log",
    )
