"""Writes to a store all that the log still holds for it: for a store that has lost something.

The messages are absolute and the online store compares versions, so this may run beside the
writers. The vector store compares nothing: stop the writers before it is refilled.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from stores.event_log import LogMessage
from writers.batch import decode_all
from writers.targets import Target

BATCH = 500


def refill(
    target: Target,
    messages: Iterator[LogMessage],
    *,
    report: Callable[[int], None],
    batch: int = BATCH,
) -> int:
    """Write messages in their order; answers how many could not be used.

    All the others are on the store's disk then.
    """
    topics = {topic.name: topic for topic in target.topics}
    target.prepare()
    done = refused = 0
    while page := list(islice(messages, batch)):
        found = decode_all(page, topics)
        if found.good:
            target.write(found.good)
        done += len(page)
        refused += len(found.bad)
        report(done)
    if target.mark:
        target.mark.wait()
    return refused
