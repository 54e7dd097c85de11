"""Living the lake gives the states that living the log gave."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from operators.living import Living
from operators.messages import Incoming
from operators.user_state import UserFold
from schemas.lake import EVENTS, IMPRESSIONS
from stores.lake.compaction import Compaction
from tests.stores.lake.lakes import (
    HOUR,
    event,
    hours_later,
    impression,
    message,
    read_back,
    write,
)


class NoItems:
    """A catalogue of nothing."""

    def get(self, _item_id: str) -> None:
        return None


def log(count: int) -> Iterator[Incoming]:
    """Answers, reactions to them and other events, some of hours before; two partitions."""
    chance = random.Random(5)
    types = ("view", "click", "purchase", "like", "dismiss")
    for number in range(count):
        user, partition = f"u{number % 8}", number % 2
        at_ms = HOUR + number * 2_000
        if number % 4 == 0:
            shown = impression(f"r{number}", user, at_ms=at_ms)
            yield message(IMPRESSIONS, shown, number, partition=partition, log_time_ms=at_ms)
        one = event(
            f"e{number}",
            user,
            event_type=chance.choice(types),
            item_id=chance.choice(("i1", "i2", "i3")),
            at_ms=at_ms - chance.choice((0, 0, 5_000, 4_000_000)),
            request_id=f"r{number // 8 * 8 + number % 8}",
        )
        yield message(EVENTS, one, number, partition=partition, log_time_ms=at_ms + 1)


def states(messages: Iterable[Incoming]) -> dict[bytes, bytes]:
    living = Living(UserFold(NoItems(), max_age_ms=10**9, max_ahead_ms=300_000, dedup_ids=10))
    for _ in living.take_all(messages):
        pass
    return dict(living.states)


@pytest.mark.parametrize("compacted", [False, True])
def test_states_are_the_same_byte_for_byte(tmp_path: Path, *, compacted: bool) -> None:
    lived = list(log(400))
    for start in range(0, len(lived), 90):
        write(tmp_path, lived[start : start + 90])
    if compacted:
        Compaction(tmp_path, hours_later(9)).run()
    found = states(read_back(tmp_path, [EVENTS, IMPRESSIONS]))
    assert len(found) == 8
    assert found == states(lived)
