"""The jars of the stack: those of `pom.xml`, fetched by Maven, and our own, made from `jvm/`.

Each is made once, in the cache directory; what it is made from names the directory.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from stack.cache import publish
from stack.packages import package_directory
from stack.part import StackError

POM = Path(__file__).with_name("pom.xml")
SOURCES = POM.parents[1] / "jvm"
OWN_JAR = "freshet-flink.jar"


def jar_directory(cache: Path) -> Path:
    """Where the jars of this very `pom.xml` and `jvm/` lie, `kafka/` and `flink/` apart."""
    return cache / "jars" / _digest([POM, *_sources()], version("apache-flink"))


def fetch_jars(cache: Path) -> Path:
    """Have the jars in the cache; a directory that is there is complete."""
    fetched = _once(cache / "jars" / f"maven-{_digest([POM])}", _copy_dependencies)
    return _once(jar_directory(cache), lambda draft: _put_together(draft, fetched))


def _once(target: Path, make: Callable[[Path], None]) -> Path:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as draft:
            make(Path(draft) / "jars")
            publish(Path(draft) / "jars", target)
    return target


def _digest(files: Iterable[Path], *more: str) -> str:
    digest = hashlib.sha256()
    for chunk in (*(path.read_bytes() for path in files), *(text.encode() for text in more)):
        digest.update(hashlib.sha256(chunk).digest())
    return digest.hexdigest()[:12]


def _sources() -> list[Path]:
    return sorted(SOURCES.rglob("*.java"))


def _copy_dependencies(directory: Path) -> None:
    kafka, flink = directory / "kafka", directory / "flink"
    _run(
        *("mvn", "--batch-mode", "--quiet", f"--file={POM}", "dependency:copy-dependencies"),
        *("-DincludeScope=runtime", f"-DoutputDirectory={kafka}"),
        missing="mvn isn't on PATH; install Apache Maven 3.6 or later",
        failed=f"Maven could not fetch the jars of {POM}",
    )
    flink.mkdir()
    for jar in kafka.glob("flink-*.jar"):
        jar.rename(flink / jar.name)


def _put_together(directory: Path, fetched: Path) -> None:
    (directory / "flink").mkdir(parents=True)
    (directory / "kafka").symlink_to(fetched / "kafka")
    connectors = sorted((fetched / "flink").glob("*.jar"))
    for jar in connectors:
        (directory / "flink" / jar.name).symlink_to(jar)
    with tempfile.TemporaryDirectory() as classes:
        _compile(Path(classes), connectors)
        _pack(Path(classes), directory / "flink" / OWN_JAR)


def _compile(classes: Path, connectors: Sequence[Path]) -> None:
    """Against the very jars that it will run with, so that nothing else has to be fetched."""
    flink = package_directory("pyflink", distribution="apache-flink") / "lib" / "*"
    _run(
        *("javac", "--release", "17", "-Xlint:all", "-Werror", "-d", str(classes)),
        *("-cp", ":".join(map(str, (flink, *connectors))), *map(str, _sources())),
        missing="javac isn't on PATH; install a Java 17 development kit or later",
        failed=f"javac could not compile {SOURCES}",
    )


def _pack(classes: Path, jar: Path) -> None:
    """The same classes are the same bytes: entries carry no time."""
    with ZipFile(jar, "w") as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.writestr(ZipInfo(path.relative_to(classes).as_posix()), path.read_bytes())


def _run(*command: str, missing: str, failed: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise StackError(missing) from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:15])
        raise StackError(f"{failed}:\n{said}")
