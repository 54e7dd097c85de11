"""`freshet model` against a real Triton."""

import json
import shutil
from collections.abc import Iterator

import pytest

from serving.ranker import ONE_ROW, Ranker
from stack.local import LocalStack
from stack.models import ModelFolder, folder


@pytest.fixture
def ranker(triton: LocalStack) -> Iterator[ModelFolder]:
    """The ranker with a good version 1000 and a broken 1001 beside the one that ships."""
    found = folder(triton.layout, "ranker")
    for version in ("1000", "1001"):
        shutil.copytree(found.path / "1", found.path / version)
    (found.path / "1001" / "model.onnx").unlink()
    yield found
    triton.freshet("model", "load", "ranker", "--version", "1")
    for version in ("1000", "1001"):
        shutil.rmtree(found.path / version)


def listed(triton: LocalStack, name: str) -> dict[str, object]:
    done = triton.freshet("model", "list", "--json", check=False)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    return {"exit": done.returncode, **found[name]}


async def test_a_version_is_loaded_and_listed(triton: LocalStack, ranker: ModelFolder) -> None:
    before = listed(triton, "ranker")
    assert (before["on_disk"], before["serves"], before["served"]) == ([1, 1000, 1001], 1, 1)
    done = triton.freshet("model", "load", "ranker", "--version", "1000")
    assert done.stdout == "ranker: version 1000 is served\n"
    client = Ranker(triton.settings.triton.address)
    for _ in range(5):
        await client.rank(ONE_ROW)
    await client.close()
    found = listed(triton, "ranker")
    assert (found["exit"], found["serves"], found["served"], found["trouble"]) == (
        0,
        1000,
        1000,
        "",
    )
    (version,) = [one for one in versions(found) if one["version"] == 1000]
    assert (version["requests"], version["failures"], version["state"]) == (5, 0, "READY")
    assert 0 < version["queue_ms"] < version["mean_ms"] < 1_000


def versions(found: dict[str, object]) -> list[dict[str, float]]:
    told = found["versions"]
    assert isinstance(told, list)
    return told


def test_the_newest_is_loaded_without_a_version_and_why_it_can_not_be_is_told(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    done = triton.freshet("model", "load", "ranker", check=False)
    assert done.returncode == 1
    assert "version 1001 is at UNAVAILABLE state" in done.stderr
    assert "model.onnx failed. File doesn't exist; ranker goes on as before" in done.stderr
    assert done.stderr.count("\n") == 1
    assert listed(triton, "ranker")["served"] == 1


def test_a_version_that_is_not_there_is_named(triton: LocalStack, ranker: ModelFolder) -> None:
    done = triton.freshet("model", "load", "ranker", "--version", "7", check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("ranker has no version 7; there are: 1, 1000, 1001\n")


def test_an_unloaded_model_hides_nowhere(triton: LocalStack) -> None:
    done = triton.freshet("model", "unload", "emotion")
    try:
        assert done.stdout == "emotion: unloaded; what needs it does without it\n"
        found = listed(triton, "emotion")
        assert (found["exit"], found["served"], found["trouble"]) == (1, None, "1: unloaded")
        status = triton.freshet("stack", "status", "triton", check=False)
        assert status.returncode == 1
        assert "model emotion isn't loaded: unloaded" in status.stdout
    finally:
        triton.freshet("model", "load", "emotion")
    assert listed(triton, "emotion")["exit"] == 0
    assert triton.freshet("stack", "status", "triton").returncode == 0


def test_the_list_as_a_table(triton: LocalStack) -> None:
    lines = triton.freshet("model", "list").stdout.splitlines()
    assert lines[0].split()[:5] == ["model", "on", "disk", "served", "requests"]
    assert [line.split()[:3] for line in lines if line.startswith("emotion")] == [
        ["emotion", "1", "1"]
    ]


def test_a_model_that_is_not_loaded_can_not_be_unloaded(triton: LocalStack) -> None:
    done = triton.freshet("model", "unload", "oracle", check=False)
    assert done.returncode == 1
    assert "has no model 'oracle' loaded" in done.stderr
