"""Which of several records about the same thing stands, as the scripts in the server decide it."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class Versioned(Protocol):
    """A record that replaces older ones about the same thing."""

    @property
    def version(self) -> int:
        """Counts what was told of the thing."""
        ...

    @property
    def log_time_ms(self) -> int:
        """When the log took what it came from."""
        ...


VersionedT = TypeVar("VersionedT", bound=Versioned)


def newer(known: VersionedT | None, found: VersionedT) -> VersionedT:
    """Choose between a record and one that stands later in the log.

    A job that lost its state counts versions from one again: then the later log time decides.
    """
    if known and known.version > found.version and known.log_time_ms >= found.log_time_ms:
        return known
    return found


def newest(
    records: Iterable[VersionedT], key: Callable[[VersionedT], str]
) -> dict[str, VersionedT]:
    """The newest record of each key, of records in the order of the log."""
    latest: dict[str, VersionedT] = {}
    for record in records:
        name = key(record)
        latest[name] = newer(latest.get(name), record)
    return latest
