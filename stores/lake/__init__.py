"""The lake: every event, answer, reward and snapshot as Parquet, by day and hour.

    LAKE/events/day=2026-11-21/hour=13/part-….parquet      new files, as the job committed them
    LAKE/events/day=2026-11-21/hour=13/whole-….parquet     what compaction made of such files

A file is there when it bears its final name; names that begin with a dot are work in progress. A
file `whole-….parquet` says in its own footer which files it replaces, so that its renaming is what
puts it in their place, at once. Readers hold a shared lock while they read; replaced files are
deleted under the exclusive one.

Nothing is imported here: the job needs `files` alone, and runs where `kafka` is jobs/kafka.py.
"""
