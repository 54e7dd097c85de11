"""An application that describes itself as it answers."""

from typing import Any

from fastapi import FastAPI

# The framework's own refusal of a wrong request; here that is a 400 in the one shape of errors.
NEVER_ANSWERED = "422"
ITS_SHAPES = ("HTTPValidationError", "ValidationError")


class Described(FastAPI):
    """Leaves out of its OpenAPI what it never answers."""

    def openapi(self) -> dict[str, Any]:
        """The description, which is also the published contract."""
        return only_answered(super().openapi())


def only_answered(description: dict[str, Any]) -> dict[str, Any]:
    """The description without the framework's own refusal; changed in place.

    >>> only_answered({"paths": {"/a": {"post": {"responses": {"200": {}, "422": {}}}}}})
    {'paths': {'/a': {'post': {'responses': {'200': {}}}}}}
    """
    for operations in description["paths"].values():
        for operation in operations.values():
            operation["responses"].pop(NEVER_ANSWERED, None)
    shapes = description.get("components", {}).get("schemas", {})
    for name in ITS_SHAPES:
        shapes.pop(name, None)
    return description
