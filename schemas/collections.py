"""Every Milvus collection, declared once: dimension, fields and index."""

from dataclasses import dataclass
from typing import Literal

FieldKind = Literal["string", "int64", "float", "bool"]

USER_DIM = 512
SESSION_DIM = 256
MODALITY_DIM = 512
ITEM_DIM = 1024

ID_MAX_LENGTH = 256


@dataclass(frozen=True, kw_only=True)
class Hnsw:
    """How the index is built and searched."""

    m: int
    ef_construction: int
    ef_search: int


@dataclass(frozen=True, kw_only=True)
class Field:
    """A scalar kept beside the vector, to filter by."""

    name: str
    kind: FieldKind
    max_length: int = ID_MAX_LENGTH


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Vectors by id, compared by inner product of unit vectors."""

    name: str
    dim: int
    index: Hnsw
    fields: tuple[Field, ...]


USER_EMBEDDINGS = Collection(
    name="user_embeddings",
    dim=USER_DIM,
    index=Hnsw(m=16, ef_construction=200, ef_search=100),
    fields=(
        Field(name="segment", kind="string"),
        Field(name="last_active", kind="int64"),
        Field(name="version", kind="int64"),
        Field(name="embedding_source", kind="string"),
    ),
)

ITEM_EMBEDDINGS = Collection(
    name="item_embeddings",
    dim=ITEM_DIM,
    index=Hnsw(m=32, ef_construction=400, ef_search=150),
    fields=(
        Field(name="category_id", kind="string"),
        Field(name="brand_id", kind="string"),
        Field(name="price", kind="float"),
        Field(name="popularity", kind="float"),
        Field(name="freshness", kind="float"),
        Field(name="availability", kind="string"),
        Field(name="modalities", kind="string"),
        Field(name="version", kind="int64"),
    ),
)

COLLECTIONS = (USER_EMBEDDINGS, ITEM_EMBEDDINGS)
