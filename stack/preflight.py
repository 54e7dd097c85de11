"""Says in one sentence what is missing on this machine.

`make setup` runs this file as a script, with whatever Python there is: standard library only, and
no syntax newer than Python 3.7.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

FOR_STACK = ("python", "java", "javac", "mvn")
FOR_SETUP = ("python", "java", "javac", "mvn", "make")
INSTALL = {
    "python": "install Python 3.11, and run `make setup PYTHON=/path/to/python3.11`",
    "java": "install a Java 17 runtime or later, e.g. the package openjdk-17-jre-headless",
    "javac": "install a Java 17 development kit, e.g. the package openjdk-17-jdk-headless",
    "mvn": "install Apache Maven 3.6 or later, e.g. the package maven",
    "make": "install GNU make, e.g. the package make",
}


class Missing(Exception):  # noqa: N818
    """A prerequisite isn't there, or is too old."""


def missing(
    names: Sequence[str],
    *,
    which: Callable[[str], str | None] = shutil.which,
    java_version: Callable[[], str] | None = None,
    python: Sequence[int] = sys.version_info[:2],
) -> list[str]:
    """One sentence for each of `names` that this machine lacks.

    >>> missing(["java"], which=lambda name: None)[0].partition(";")[0]
    "Java 17 is needed and java isn't on PATH"
    """
    checks: dict[str, Callable[[], str]] = {
        "python": lambda: _python_trouble(python),
        "java": lambda: _java_trouble(which, java_version or _java_says),
        "javac": lambda: (
            "" if which("javac") else "A Java compiler (javac) is needed and isn't on PATH"
        ),
        "mvn": lambda: "" if which("mvn") else "Maven (mvn) is needed and isn't on PATH",
        "make": lambda: "" if which("make") else "make is needed and isn't on PATH",
    }
    troubles = [(name, checks[name]()) for name in names]
    return [trouble + "; " + INSTALL[name] for name, trouble in troubles if trouble]


def require(names: Sequence[str]) -> None:
    """Raise Missing unless all are there."""
    sentences = missing(names)
    if sentences:
        raise Missing("\n".join(sentences))


def _python_trouble(version: Sequence[int]) -> str:
    if tuple(version[:2]) == (3, 11):
        return ""
    return f"Python 3.11 is needed and this is {version[0]}.{version[1]}"


def _java_trouble(which: Callable[[str], str | None], java_version: Callable[[], str]) -> str:
    if not which("java"):
        return "Java 17 is needed and java isn't on PATH"
    said = java_version()
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if not found:
        return "Java 17 is needed and `java -version` says " + repr(said[:80])
    if int(found.group(1)) < 17:
        return "Java 17 is needed and this is Java " + found.group(1)
    return ""


def _java_says() -> str:
    done = subprocess.run(
        ["java", "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode("utf-8", "replace")


if __name__ == "__main__":
    sentences = missing(FOR_SETUP)
    for sentence in sentences:
        sys.stderr.write("error: " + sentence + "\n")
    sys.exit(1 if sentences else 0)
