"""The jars of `pom.xml`, fetched once by Maven into the cache directory."""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from stack.cache import publish
from stack.part import StackError

POM = Path(__file__).with_name("pom.xml")


def jar_directory(cache: Path) -> Path:
    """Where the jars of this very `pom.xml` lie, `kafka/` and `flink/` apart."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    return cache / "jars" / digest


def fetch_jars(cache: Path) -> Path:
    """Have the jars in the cache; a directory that is there is complete."""
    target = jar_directory(cache)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as draft:
            _copy_dependencies(Path(draft) / "jars")
            publish(Path(draft) / "jars", target)
    return target


def _copy_dependencies(directory: Path) -> None:
    kafka, flink = directory / "kafka", directory / "flink"
    command = [
        *("mvn", "--batch-mode", "--quiet", f"--file={POM}", "dependency:copy-dependencies"),
        *("-DincludeScope=runtime", f"-DoutputDirectory={kafka}"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise StackError("mvn isn't on PATH; install Apache Maven 3.6 or later") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[:15])
        raise StackError(f"Maven could not fetch the jars of {POM}:\n{said}")
    flink.mkdir()
    for jar in kafka.glob("flink-*.jar"):
        jar.rename(flink / jar.name)
