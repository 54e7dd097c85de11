"""The real stack, one for all end-to-end tests of a run, gone before other tests begin."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from settings import Settings, load_settings
from stack.local import LocalStack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka, Valkey, Milvus, Triton and Flink on free ports, gone again at the end of the run.

    A test that stops or kills a part brings it back: `stack.up("valkey")`.
    """
    # Only where downloads are kept is taken over from the settings of whoever runs the tests.
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("stack"))
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        local.up()
        yield local
    finally:
        local.down()
        signal.signal(signal.SIGTERM, before)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """Let a terminated test run end as an interrupted one does: with its stack taken down."""
    raise KeyboardInterrupt
