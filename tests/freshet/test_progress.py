import io

from rich.console import Console

from freshet.progress import Progress, status_table
from stack.lifecycle import PartStatus, State


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=120), written


def kafka(state: State, detail: str = "") -> PartStatus:
    return PartStatus(name="kafka", state=state, address="127.0.0.1:1", detail=detail)


def test_elsewhere_than_on_a_terminal_each_change_is_a_plain_line() -> None:
    target, written = console(terminal=False)
    with Progress(["kafka"], console=target) as progress:
        for state in (State.STARTING, State.STARTING, State.RUNNING):
            progress.show(kafka(state))
    lines = written.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["kafka", "starting"], ["kafka", "running"]]
    assert "\x1b" not in written.getvalue()


def test_on_a_terminal_the_table_ends_with_every_part() -> None:
    target, written = console(terminal=True)
    with Progress(["kafka", "flink"], console=target) as progress:
        progress.show(kafka(State.STARTING, "connection refused"))
        progress.show(kafka(State.RUNNING))
    last = written.getvalue()
    assert "running" in last
    assert "127.0.0.1:1" in last
    assert "waiting" in last  # flink was never seen


def test_the_status_table_shows_what_is_wrong() -> None:
    target, written = console(terminal=False)
    target.print(status_table([kafka(State.DIED, "killed by signal 9")]))
    assert "died" in written.getvalue()
    assert "killed by signal 9" in written.getvalue()
