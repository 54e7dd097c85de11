"""State that is forgotten when it has not been written for long, in thread mode too."""

from pyflink.common import Duration, Time, Types
from pyflink.datastream.state import StateTtlConfig, ValueStateDescriptor

ENTRIES_BETWEEN_CLOCK_READS = 1_000


def expiring_bytes(name: str, *, lifetime_days: int) -> ValueStateDescriptor:
    """One value of bytes a key, dropped by RocksDB's compaction once its lifetime is over.

    PyFlink's defaults start a Java gateway inside the TaskManager to write "30 days", which fails
    there in thread mode. Naming each choice avoids it; thread mode doesn't read the Duration.
    """
    lifetime = (
        StateTtlConfig.new_builder(Time.days(lifetime_days))
        .disable_cleanup_in_background()
        .cleanup_in_rocksdb_compact_filter(ENTRIES_BETWEEN_CLOCK_READS, Duration(None))
        .build()
    )
    descriptor = ValueStateDescriptor(name, Types.PICKLED_BYTE_ARRAY())
    descriptor.enable_time_to_live(lifetime)
    return descriptor
