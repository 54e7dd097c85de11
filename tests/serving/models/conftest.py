"""A real Triton with the models that ship, on free ports, in a directory of its own."""

from collections.abc import Iterator

import pytest

from settings import Settings, load_settings
from stack.local import LocalStack


@pytest.fixture(scope="package")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The server; a test that changes what it serves puts it back."""
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("models"))
    try:
        local.up("triton")
        yield local
    finally:
        local.down()
