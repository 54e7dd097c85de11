"""State that is forgotten when it has not been written for long, in thread mode too."""

from pyflink.common import Duration, Time, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream.state import MapStateDescriptor, StateTtlConfig

ENTRIES_BETWEEN_CLOCK_READS = 1_000


def bytes_by_key(name: str, *, lifetime_days: int | None) -> MapStateDescriptor:
    """Bytes by key; an entry is dropped by RocksDB's compaction once its lifetime is over."""
    return _by_key(name, Types.PICKLED_BYTE_ARRAY(), lifetime_days)


def times_by_key(name: str, *, lifetime_days: int | None) -> MapStateDescriptor:
    """A time by key, likewise."""
    return _by_key(name, Types.LONG(), lifetime_days)


def _by_key(name: str, values: TypeInformation, lifetime_days: int | None) -> MapStateDescriptor:
    descriptor = MapStateDescriptor(name, Types.STRING(), values)
    if lifetime_days is not None:
        descriptor.enable_time_to_live(_lifetime(lifetime_days))
    return descriptor


def _lifetime(days: int) -> StateTtlConfig:
    """Days from the last write.

    PyFlink's defaults start a Java gateway inside the TaskManager to write "30 days", which fails
    there in thread mode. Naming each choice avoids it; thread mode doesn't read the Duration.
    """
    return (
        StateTtlConfig.new_builder(Time.days(days))
        .disable_cleanup_in_background()
        .cleanup_in_rocksdb_compact_filter(ENTRIES_BETWEEN_CLOCK_READS, Duration(None))
        .build()
    )
