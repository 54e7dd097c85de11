"""Shows how parts come up: a live table on a terminal, a line for each change elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stack.lifecycle import PartStatus, State

STYLES = {
    State.RUNNING: "green",
    State.EXTERNAL: "green",
    State.STARTING: "yellow",
    State.STOPPED: "dim",
}


class Progress:
    """The parts of one `up`."""

    def __init__(self, names: Sequence[str], *, console: Console | None = None) -> None:
        self._console = console or Console()
        self._began = time.monotonic()
        self._seen: dict[str, PartStatus] = {}
        self._names = list(names)
        self._took_s: dict[str, float] = {}
        self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self._table)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, status: PartStatus) -> None:
        """Take note of how a part is now."""
        before = self._seen.get(status.name)
        self._seen[status.name] = status
        if before is None or before.state != status.state:
            self._took_s[status.name] = time.monotonic() - self._began
            if not self._console.is_terminal:
                self._console.print(self._line(status), highlight=False, soft_wrap=True)

    def _line(self, status: PartStatus) -> str:
        after = f"{self._took_s[status.name]:.1f} s"
        return f"{status.name:<8} {status.state.value:<11} {status.address}  after {after}"

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name in self._names:
            table.add_row(name, *self._cells(self._seen.get(name)))
        return table

    def _cells(self, status: PartStatus | None) -> tuple[str, str, str]:
        if status is None:
            return "[dim]waiting[/]", "", ""
        style = STYLES.get(status.state, "red")
        waiting = status.state is State.STARTING
        seconds = time.monotonic() - self._began if waiting else self._took_s[status.name]
        what = f"[dim]{status.detail[:70]}[/]" if waiting else status.address
        return f"[{style}]{status.state.value}[/]", f"{seconds:.1f} s", what


def status_table(statuses: Sequence[PartStatus]) -> Table:
    """How the parts are, for `freshet stack status`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("part", "state", "address", "processes", "memory", "restarts", ""):
        table.add_column(heading)
    for one in statuses:
        style = STYLES.get(one.state, "red")
        table.add_row(
            one.name,
            f"[{style}]{one.state.value}[/]",
            one.address,
            " ".join(map(str, one.pids)),
            f"{one.memory_mb} MB" if one.memory_mb else "",
            str(one.restarts or ""),
            one.detail,
        )
    return table
