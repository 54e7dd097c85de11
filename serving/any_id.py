"""Ids as they may stand in a path: any text, also with slashes and line breaks."""

from starlette.convertors import PathConvertor, register_url_convertor


class AnyId(PathConvertor):
    """The framework's own kind ends at a line break, and would look up another id."""

    regex = r"[\s\S]*"


register_url_convertor("any_id", AnyId())

# Under this name in a path.
USER_ID = "{user_id:any_id}"
