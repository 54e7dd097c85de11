"""What can be wrong with a lake."""


class LakeError(Exception):
    """The lake can't do what was asked; the message says why, and what to do."""


class StatementError(LakeError):
    """ClickHouse did not take a statement."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"ClickHouse did not take the statement: {reason}")
