"""The id of the request that is being answered, for whatever is said about it."""

from contextvars import ContextVar
from uuid import uuid4

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def begin_request() -> str:
    """Give the request at hand a new id."""
    request_id = str(uuid4())
    _request_id.set(request_id)
    return request_id


def current_request_id() -> str:
    """The id of the request at hand, "" outside of any."""
    return _request_id.get()
