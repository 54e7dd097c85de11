"""What a store can fail with."""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import error as struct_error


class StoreError(Exception):
    """A store did not do what was asked."""


class StoreUnavailable(StoreError):  # noqa: N818
    """The store can't be reached, is not ready, or was too slow; the same call may work later."""

    def __init__(self, store: str, reason: object) -> None:
        super().__init__(f"{store} is not available: {reason}")
        self.store = store


class LogUnavailable(StoreUnavailable):
    """Kafka did not take, or did not give, a message in time."""

    def __init__(self, reason: object) -> None:
        super().__init__("Kafka", reason)


class StoreUnreadable(StoreError):  # noqa: N818
    """The store answered, but with what this program can't read."""

    def __init__(self, store: str, reason: object) -> None:
        super().__init__(f"{store} gave an answer that can't be read: {reason!r}")
        self.store = store


# What it raises to take a value apart that has another form than was written.
MISREAD = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
MISREAD_BYTES = (*MISREAD, struct_error)


@contextmanager
def read_from(store: str) -> Iterator[None]:
    """Turn what comes of an answer in another form into a `StoreUnreadable`."""
    try:
        yield
    except MISREAD_BYTES as error:
        raise StoreUnreadable(store, error) from error


class StoreRejected(StoreError):  # noqa: N818
    """The store refused what was written; the same write will be refused again."""

    def __init__(self, store: str, reason: object) -> None:
        super().__init__(f"{store} refused the write: {reason}")
        self.store = store
