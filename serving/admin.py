"""Who may look into users."""

from secrets import compare_digest

from pydantic import SecretStr

from serving.errors import ApiError


def require_admin(given: str, token: SecretStr) -> None:
    """Raise the 403 unless the token is the one set; how much of it is right can't be timed."""
    expected = token.get_secret_value()
    if not expected:
        raise _forbidden(
            "this path is closed: no admin token is set",
            hint="set serving.admin_token (FRESHET_SERVING__ADMIN_TOKEN) and restart the service",
        )
    if not compare_digest(given.encode(), expected.encode()):
        raise _forbidden(
            "the Authorization header doesn't have the admin token",
            hint="send Authorization: Bearer, and the value of serving.admin_token",
        )


def _forbidden(message: str, *, hint: str) -> ApiError:
    return ApiError(403, "forbidden", message=message, hint=hint)
