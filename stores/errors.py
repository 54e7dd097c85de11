"""What a store can fail with."""


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


class StoreRejected(StoreError):  # noqa: N818
    """The store refused what was written; the same write will be refused again."""

    def __init__(self, store: str, reason: object) -> None:
        super().__init__(f"{store} refused the write: {reason}")
        self.store = store
