"""What is said of models, and what an external server is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from freshet import served_models
from freshet.served_models import ModelStatus
from serving.model_control import ModelServerError, ServedVersion
from settings import Settings

EXTERNAL = Settings.model_validate({"triton": {"external": "models.example:8001"}})


def version(number: int, state: str = "READY", reason: str = "") -> ServedVersion:
    return ServedVersion(version=number, state=state, reason=reason)


@pytest.mark.parametrize(
    ("status", "served", "trouble"),
    [
        (ModelStatus(name="m"), None, "not loaded"),
        (ModelStatus(name="m", serves=1, versions=(version(1),)), 1, ""),
        (
            ModelStatus(name="m", serves=2, versions=(version(1, "UNAVAILABLE", "no file"),)),
            None,
            "1: no file",
        ),
        (
            ModelStatus(name="m", serves=1, versions=(version(1, "UNLOADING"), version(2))),
            2,
            "version 1 is served from the next start on",
        ),
        (ModelStatus(name="m", versions=(version(1), version(2))), 2, ""),
    ],
)
def test_what_is_served_and_what_is_wrong(
    status: ModelStatus, served: int | None, trouble: str
) -> None:
    assert (status.served.version if status.served else None) == served
    assert status.trouble == trouble


class Pretended:
    """An external server that has a ranker."""

    def __init__(self) -> None:
        self.loaded: list[tuple[str, str]] = []

    def versions(self) -> dict[str, list[ServedVersion]]:
        return {"ranker": [version(3)]}

    def config(self, name: str) -> str:
        return f'name: "{name}"'

    def load(self, name: str, config: str) -> None:
        self.loaded.append((name, config))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended()

    @contextmanager
    def opened(_address: str, **_: Any) -> Iterator[Pretended]:
        yield pretended

    monkeypatch.setattr(served_models, "ModelServer", opened)
    return pretended


def test_an_external_server_tells_of_its_models_alone(server: Pretended) -> None:
    (found,) = served_models.statuses(EXTERNAL)
    assert (found.name, found.on_disk, found.serves, found.trouble) == ("ranker", (), None, "")


def test_an_external_server_loads_the_version_that_is_named(server: Pretended) -> None:
    assert served_models.load(EXTERNAL, "ranker", 4) == 4
    ((name, config),) = server.loaded
    assert name == "ranker"
    assert "versions: 4" in config


def test_an_external_server_s_newest_version_is_not_known(server: Pretended) -> None:
    with pytest.raises(ModelServerError, match="say which one by --version"):
        served_models.load(EXTERNAL, "ranker", None)
    assert server.loaded == []


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    nobody = Settings.model_validate({"triton": {"external": "127.0.0.1:9"}})
    with pytest.raises(ModelServerError, match=r"127\.0\.0\.1:9, the list of models: "):
        served_models.statuses(nobody)
