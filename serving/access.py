"""What each endpoint asks of its caller, in one table; a route that isn't in it can't be made."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from serving.admission import Admission, needs_key
from serving.any_id import USER_ID
from serving.callers import Caller, Scope
from serving.errors import ApiError

# None: open to all, also where keys are needed.
ACCESS: dict[str, Scope | None] = {
    "/v1/personalize": "serve",
    "/v1/personalize/batch": "serve",
    "/v1/feedback": "feedback",
    "/v1/recommendations": "serve",
    "/v1/similar": "serve",
    "/v1/explain": "serve",
    "/v1/feedback/negative": "feedback",
    "/interactions": "feedback",
    f"/v1/debug/users/{USER_ID}": "admin",
    "/v1/experiments/{experiment_id}": "admin",
    "/healthz": None,
    "/readyz": None,
    "/metrics": None,
}


# The same of the calls over gRPC.
CALLS: dict[str, Scope] = {
    "Sample": "serve",
    "GetParameters": "serve",
    "UpdatePosterior": "feedback",
}


class GuardedRoute(APIRoute):
    """A route that asks who is there before it reads what they sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, behind the table's demand."""
        handle, scope = super().get_route_handler(), needed_at(self.path)
        if scope is None:
            return handle
        needed = scope

        async def guarded(request: Request) -> Response:
            request.state.caller = let_in(request, needed)
            return await handle(request)

        return guarded


def needed_at(path: str) -> Scope | None:
    """What the table says of a path.

    >>> needed_at("/v1/personalize")
    'serve'
    """
    if path not in ACCESS:
        raise LookupError(f"{path} is not in serving.access.ACCESS: say there who may use it")
    return ACCESS[path]


def let_in(request: Request, needed: Scope) -> Caller:
    """Who sends a request, or the refusal of whoever may not do this."""
    admission: Admission = request.app.state.admission
    caller = admission.caller(request.headers.get("authorization", ""))
    if caller.may(needed):
        return caller
    if caller.kind == "anonymous" and not admission.is_open:
        raise needs_key()
    raise _closed() if admission.is_open and not admission.admin_token else _lacks(needed)


def _closed() -> ApiError:
    return _forbidden(
        "this path is closed: no admin token is set",
        hint="set serving.admin_token (FRESHET_SERVING__ADMIN_TOKEN) and restart the service",
    )


def _lacks(needed: Scope) -> ApiError:
    if needed == "admin":
        return _forbidden(
            "the Authorization header doesn't have the admin token, nor a key for administrators",
            hint="send Authorization: Bearer, and the value of serving.admin_token or such a key",
        )
    return _forbidden(
        f"the key or token doesn't have the scope {needed}",
        hint=f"use one that has it; `freshet key create --scope {needed}` makes such a key",
    )


def check_reach(request: Request, user_id: str) -> Caller:
    """The caller, or a 403 where this user is not theirs to ask for."""
    caller: Caller = request.state.caller
    if not caller.may_reach(user_id):
        raise _forbidden(
            "the token is of another user than the one that the request names",
            hint="send the user_id that the token was made for, as its sub says",
        )
    return caller


def _forbidden(message: str, *, hint: str) -> ApiError:
    return ApiError(403, "forbidden", message=message, hint=hint)
