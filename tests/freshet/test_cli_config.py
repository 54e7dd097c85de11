"""The command as a user runs it: a process of its own."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from settings.load import MASK


@pytest.fixture
def freshet(tmp_path: Path) -> "Run":
    return Run(tmp_path)


class Run:
    """Runs `freshet` in an empty directory and an environment without settings."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "freshet", *arguments],
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), **environ},
            capture_output=True,
            text=True,
            check=False,
        )


def test_config_prints_what_is_in_force(freshet: Run) -> None:
    done = freshet("config", FRESHET_KAFKA__PORT="1234")
    assert tomllib.loads(done.stdout)["kafka"]["port"] == 1234
    assert done.returncode == 0


def test_config_as_json_is_the_same(freshet: Run) -> None:
    as_toml = tomllib.loads(freshet("config").stdout)
    assert json.loads(freshet("config", "--json").stdout) == as_toml


def test_config_masks_secrets(freshet: Run) -> None:
    done = freshet("config", FRESHET_REDIS__EXTERNAL="redis://:hunter2@cache")
    assert tomllib.loads(done.stdout)["redis"]["external"] == MASK
    assert "hunter2" not in done.stdout + done.stderr


def test_a_settings_file_is_given_before_the_command(freshet: Run) -> None:
    (freshet.directory / "mine.toml").write_text("[kafka]\nport = 77\n")
    done = freshet("--config", "mine.toml", "config", "--json")
    assert json.loads(done.stdout)["kafka"]["port"] == 77


def test_a_wrong_value_is_one_clean_line_and_exit_code_2(freshet: Run) -> None:
    done = freshet("config", FRESHET_KAFKA__PORT="0")
    assert done.stderr == ("error: kafka.port = '0': input should be greater than or equal to 1\n")
    assert (done.stdout, done.returncode) == ("", 2)


def test_a_missing_settings_file_is_one_clean_line_and_exit_code_2(freshet: Run) -> None:
    done = freshet("--config", "none.toml", "config")
    assert done.stderr.startswith("error: none.toml: can't be read (No such file")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_an_unknown_part_is_one_clean_line_and_exit_code_1(freshet: Run) -> None:
    done = freshet("stack", "status", "redis")
    assert done.stderr.startswith("error: redis: there is no such part; there are: kafka, ")
    assert done.returncode == 1


def test_help_imports_nothing_heavy(freshet: Run) -> None:
    code = (
        "import sys, freshet.__main__ as m; m.build(); "
        "print(sorted({'pyflink', 'pymilvus', 'kafka', 'tritonclient', 'numpy', 'fastapi'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_status_of_a_stack_that_never_was(freshet: Run) -> None:
    done = freshet("stack", "status", "--json")
    assert {part["state"] for part in json.loads(done.stdout)} == {"stopped"}
    assert done.returncode == 0
    assert not (freshet.directory / ".freshet").exists()


def test_down_of_a_stack_that_never_was(freshet: Run) -> None:
    done = freshet("stack", "down")
    assert (done.stdout, done.returncode) == ("nothing was running\n", 0)


def test_up_without_java_says_what_to_install(freshet: Run) -> None:
    done = freshet("stack", "up", "kafka", PATH="/nowhere")
    assert done.stderr.splitlines()[0].startswith("error: Java 17 is needed and java isn't on PATH")
    assert done.returncode == 1
