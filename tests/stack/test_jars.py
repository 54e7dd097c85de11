from pathlib import Path
from zipfile import ZipFile

import pytest

from stack import jars
from stack.cache import publish
from stack.part import StackError

GOOD_MAVEN = """#!/bin/sh
for argument; do case "$argument" in -DoutputDirectory=*) out="${argument#*=}";; esac; done
mkdir -p "$out" && cp "$EMPTY_JAR" "$out/kafka-clients-4.jar"
cp "$EMPTY_JAR" "$out/flink-sql-connector-kafka-5.jar"
echo called >> "$CALLS"
"""
BAD_MAVEN = """#!/bin/sh
echo "[ERROR] Could not transfer artifact: unknown host"
exit 1
"""


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place on PATH for a Maven of the test's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("EMPTY_JAR", str(tmp_path / "empty.jar"))
    ZipFile(tmp_path / "empty.jar", "w").close()
    return directory / "mvn"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source of our own that needs no connector."""
    source = tmp_path / "jvm" / "freshet" / "Empty.java"
    source.parent.mkdir(parents=True)
    source.write_text("package freshet;\n\nfinal class Empty {}\n")
    monkeypatch.setattr(jars, "SOURCES", tmp_path / "jvm")
    return source


def install(script: str, maven: Path) -> None:
    maven.write_text(script)
    maven.chmod(0o755)


def test_jars_are_fetched_once_and_lie_apart(tmp_path: Path, maven: Path, sources: Path) -> None:
    install(GOOD_MAVEN, maven)
    found = jars.fetch_jars(tmp_path / "cache")
    assert jars.fetch_jars(tmp_path / "cache") == found
    assert [jar.name for jar in found.glob("kafka/*")] == ["kafka-clients-4.jar"]
    assert sorted(jar.name for jar in found.glob("flink/*")) == [
        "flink-sql-connector-kafka-5.jar",
        "freshet-flink.jar",
    ]
    with ZipFile(found / "flink" / "freshet-flink.jar") as own:
        assert own.namelist() == ["freshet/Empty.class"]
    assert (tmp_path / "calls").read_text() == "called\n"


def test_what_maven_says_is_passed_on_and_nothing_half_is_kept(tmp_path: Path, maven: Path) -> None:
    install(BAD_MAVEN, maven)
    with pytest.raises(
        StackError, match=r"could not fetch the jars of .*\n\[ERROR\].*unknown host"
    ):
        jars.fetch_jars(tmp_path / "cache")
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_without_maven_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"mvn isn't on PATH; install Apache Maven"):
        jars.fetch_jars(tmp_path / "cache")


def test_another_pom_is_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jars.jar_directory(tmp_path)
    changed = tmp_path / "pom.xml"
    changed.write_text(jars.POM.read_text() + "\n")
    monkeypatch.setattr(jars, "POM", changed)
    assert jars.jar_directory(tmp_path) != before


def test_a_changed_source_is_compiled_again_and_nothing_is_fetched(
    tmp_path: Path, maven: Path, sources: Path
) -> None:
    install(GOOD_MAVEN, maven)
    before = jars.fetch_jars(tmp_path / "cache")
    sources.write_text("package freshet;\n\nfinal class Empty {\n    int more;\n}\n")
    assert jars.fetch_jars(tmp_path / "cache") != before
    assert (tmp_path / "calls").read_text() == "called\n"


def test_what_javac_says_is_passed_on(tmp_path: Path, maven: Path, sources: Path) -> None:
    install(GOOD_MAVEN, maven)
    sources.write_text("final class Empty { @Deprecated void f() {} { f(); } int }\n")
    with pytest.raises(StackError, match=r"javac could not compile .*\n.*Empty.java:1: error"):
        jars.fetch_jars(tmp_path / "cache")


def test_publishing_what_another_was_quicker_with_keeps_the_first(tmp_path: Path) -> None:
    draft, target = tmp_path / "draft", tmp_path / "target"
    for directory, text in ((draft, "second"), (target, "first")):
        directory.mkdir()
        (directory / "jar").write_text(text)
    publish(draft, target)
    assert (target / "jar").read_text() == "first"
    assert not draft.exists()


def test_publishing_where_one_may_not_write_fails(tmp_path: Path) -> None:
    (tmp_path / "draft").mkdir()
    with pytest.raises(OSError, match="No such file"):
        publish(tmp_path / "draft", tmp_path / "nowhere" / "target")
