from io import StringIO

import pytest
from rich.console import Console

from demo.progress import LINE_EVERY_S, Counter


class FakeTime:
    now_s = 0.0

    def clock(self) -> float:
        return self.now_s


def lines_of(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end() -> None:
    console, time = Console(file=StringIO()), FakeTime()
    with Counter("events", total=1_000, console=console, clock=time.clock) as counter:
        for _ in range(1_000):
            time.now_s += LINE_EVERY_S / 512  # a sum of these is exact
            counter.advance()

    assert lines_of(console) == [
        "events: 512 of 1,000 in 5.0 s, 102/s",
        "events: 1,000 of 1,000 in 9.8 s, 102/s",
    ]


def test_on_a_terminal_a_bar_moves_and_the_last_word_stays() -> None:
    console, time = Console(file=StringIO(), force_terminal=True, width=120), FakeTime()
    with Counter("events", total=10, console=console, clock=time.clock) as counter:
        time.now_s = 2.0
        counter.reach(10)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "━" in text
    assert "events: 10 of 10 in 2.0 s, 5/s" in text


def test_work_that_fails_says_how_far_it_came() -> None:
    console, time = Console(file=StringIO()), FakeTime()

    def fail() -> None:
        with Counter("events", total=10, console=console, clock=time.clock) as counter:
            time.now_s = 1.0
            counter.reach(4)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert lines_of(console) == ["events: 4 of 10 in 1.0 s, 4/s"]
