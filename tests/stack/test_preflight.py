import subprocess
import sys
from collections.abc import Callable

import pytest

from stack import preflight

JAVA_17 = 'openjdk version "17.0.15" 2025-04-15'


def found(name: str) -> str:
    return f"/usr/bin/{name}"


def said(text: str) -> Callable[[], str]:
    return lambda: text


def test_nothing_is_missing_where_all_is_there() -> None:
    assert (
        preflight.missing(
            preflight.FOR_SETUP, which=found, java_version=said(JAVA_17), python=(3, 11)
        )
        == []
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("java", "Java 17 is needed and java isn't on PATH; install a Java 17 runtime or later"),
        (
            "javac",
            (
                "A Java compiler (javac) is needed and isn't on PATH; "
                "install a Java 17 development kit"
            ),
        ),
        ("mvn", "Maven (mvn) is needed and isn't on PATH; install Apache Maven 3.6 or later"),
        ("make", "make is needed and isn't on PATH; install GNU make"),
    ],
)
def test_what_is_not_there_is_named_with_what_to_install(name: str, sentence: str) -> None:
    (found_missing,) = preflight.missing([name], which=lambda _: None)
    assert found_missing.startswith(sentence)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "this is Java 11;"),
        ('java version "1.8.0_202"', "this is Java 8;"),
        ("Error: no runtime present", "`java -version` says 'Error: no runtime present';"),
    ],
)
def test_a_wrong_java_is_named(version: str, sentence: str) -> None:
    (trouble,) = preflight.missing(["java"], which=found, java_version=said(version))
    assert sentence in trouble


@pytest.mark.parametrize("version", [JAVA_17, 'openjdk version "21" 2023-09-19'])
def test_java_17_or_later_will_do(version: str) -> None:
    assert preflight.missing(["java"], which=found, java_version=said(version)) == []


def test_a_wrong_python_is_named() -> None:
    (trouble,) = preflight.missing(["python"], python=(3, 9))
    assert trouble.startswith("Python 3.11 is needed and this is 3.9; install Python 3.11")


def test_require_says_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(preflight.Missing, match=r"Java 17 is needed.*\nMaven"):
        preflight.require(["java", "mvn"])


def test_as_a_script_it_exits_1_without_the_tools() -> None:
    done = subprocess.run(
        [sys.executable, preflight.__file__],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        "error: Java 17",
        "error: A Java compiler (javac)",
        "error: Maven (mvn)",
        "error: make",
    ]
