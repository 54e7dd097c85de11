"""What the vector store holds of one user, and which items lie nearest to a vector."""

import json
from typing import Any

from pymilvus.client.prepare import Prepare

from schemas.collections import USER_EMBEDDINGS
from stores.errors import StoreUnavailable, read_from
from stores.vectors import CONSISTENCY, ID, STORE, VectorReader

FIELDS = ("version", "last_active", "embedding_source", "segment")


class UserVectorReader(VectorReader):
    """Also finds the row of a user."""

    async def user(self, user_id: str) -> dict[str, Any] | None:
        """Read the fields of a user's row, without the vector; None where there is none."""
        request = Prepare.query_request(
            USER_EMBEDDINGS.name,
            f"{ID} == {json.dumps(user_id, ensure_ascii=False)}",
            [ID, *FIELDS],
            [],
            consistency_level=CONSISTENCY,
        )
        response = await self._call("Query", request)
        if response.status.code or response.status.error_code:
            raise StoreUnavailable(STORE, response.status.reason)
        with read_from(STORE):
            columns = {field.field_name: _values(field) for field in response.fields_data}
        if not columns.get(ID):
            return None
        return {name: columns[name][0] for name in FIELDS if columns.get(name)}


def _values(field: Any) -> Any:
    """The values of a scalar field, whichever of the wire's types it has."""
    scalars = field.scalars
    kind = scalars.WhichOneof("data")
    return list(getattr(scalars, kind).data) if kind else []
