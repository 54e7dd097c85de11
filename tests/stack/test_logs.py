from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from settings import Settings
from stack import logs
from stack.layout import Layout
from stack.part import StackError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def write(settings: Settings) -> Callable[[str, str], None]:
    layout = Layout.of(settings)
    layout.log("kafka").parent.mkdir()

    def append(program: str, text: str) -> None:
        with layout.log(program).open("a") as log:
            log.write(text)

    return append


def test_the_last_lines_of_one_program(
    settings: Settings, write: Callable[[str, str], None]
) -> None:
    write("kafka", "a\nb\nc\n")
    assert list(logs.last_lines(settings, "kafka", lines=2)) == ["b", "c"]
    assert list(logs.last_lines(settings, "kafka", lines=0)) == []


def test_the_programs_of_a_part_have_headings(
    settings: Settings, write: Callable[[str, str], None]
) -> None:
    write("jobmanager", "job\n")
    write("taskmanager-1", "task\n")
    found = list(logs.last_lines(settings, "flink", lines=9))
    assert found[:2] == [f"==> {settings.data_dir / 'logs' / 'jobmanager.log'} <==", "job"]
    assert "task" in found


def test_without_a_name_all_that_have_a_log(
    settings: Settings, write: Callable[[str, str], None]
) -> None:
    write("valkey", "v\n")
    write("kafka", "k\n")
    assert logs.programs_of(settings, None) == ["kafka", "valkey"]


def test_one_program_of_a_part(settings: Settings) -> None:
    assert logs.programs_of(settings, "taskmanager-2") == ["taskmanager-2"]


def test_an_unknown_name_is_named_with_the_known(settings: Settings) -> None:
    with pytest.raises(StackError, match=r"redis: there is no such part; there are: api, flink"):
        logs.programs_of(settings, "redis")


def test_following_gives_whole_new_lines_only(
    settings: Settings, write: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("kafka", "old\n")
    script: Iterator[Callable[[], object]] = iter(
        [
            lambda: write("kafka", "half"),
            lambda: write("kafka", " whole\n"),
            lambda: Layout.of(settings).log("kafka").write_text("new\n"),
        ]
    )
    monkeypatch.setattr("stack.logs.time.sleep", lambda _: next(script)())
    assert list(islice(logs.new_lines(settings, "kafka"), 2)) == ["half whole", "new"]


def test_following_several_names_each(
    settings: Settings, write: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.logs.time.sleep", lambda _: write("taskmanager-1", "up\n"))
    assert next(logs.new_lines(settings, "flink")) == "taskmanager-1: up"
