"""Shows how far long work is: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

LINE_EVERY_S = 5.0


class RateColumn(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Draw the rate, empty while it isn't known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


class Counter:
    """One piece of work, counted from 0 to `total`. Use it with `with`."""

    def __init__(
        self,
        what: str,
        *,
        total: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._console = console
        self._clock = clock
        self._began = self._said = clock()
        self.done = 0
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()
        self._say(self._clock())

    def advance(self, by: int = 1) -> None:
        """Count more as done."""
        self.reach(self.done + by)

    def reach(self, done: int) -> None:
        """Set how much is done."""
        self.done = done
        if self._console.is_terminal:
            self._bars.update(self._task, completed=done)
        elif (now := self._clock()) - self._said >= LINE_EVERY_S:
            self._said = now
            self._say(now)

    def _say(self, now: float) -> None:
        seconds = now - self._began
        rate = f", {self.done / seconds:,.0f}/s" if seconds > 0 else ""
        self._console.print(
            f"{self._what}: {self.done:,} of {self._total:,} in {seconds:.1f} s{rate}",
            highlight=False,
            soft_wrap=True,
        )
