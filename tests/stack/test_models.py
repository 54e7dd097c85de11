"""The models of a stack: what ships is copied, what was chosen stays, and yours is left alone."""

import shutil
from pathlib import Path

import pytest

from settings import Settings
from stack import models, triton
from stack.layout import Layout
from stack.models import OWN_FROM, SHIPPED, ModelFolder
from stack.part import StackError


@pytest.fixture
def filled(layout: Layout) -> Layout:
    models.fill(layout)
    return layout


@pytest.fixture
def ranker(filled: Layout) -> ModelFolder:
    return models.folder(filled, "ranker")


def added(ranker: ModelFolder, version: int) -> Path:
    path = ranker.path / str(version)
    shutil.copytree(ranker.path / "1", path)
    return path


def policy(ranker: ModelFolder) -> list[str]:
    lines = (ranker.path / "config.pbtxt").read_text().splitlines()
    return [line for line in lines if line.startswith("version_policy")]


def test_all_that_ships_is_there_and_serves_its_newest(filled: Layout) -> None:
    shipped = {path.parent.name for path in SHIPPED.glob("*/config.pbtxt")}
    found = models.folders(filled)
    assert {one.path.name for one in found} == shipped
    assert all(one.serves == max(one.versions) < OWN_FROM for one in found)


def test_every_model_that_is_loaded_by_default_ships(filled: Layout) -> None:
    for name in models.wanted(Settings()):
        assert models.folder(filled, name).path.name == name


def test_no_shipped_configuration_says_which_version_is_served() -> None:
    for file in SHIPPED.glob("*/config.pbtxt"):
        assert "version_policy" not in file.read_text(), file


def test_a_version_that_merely_appears_is_not_served(filled: Layout, ranker: ModelFolder) -> None:
    added(ranker, 1_000)
    models.fill(filled)
    assert ranker.versions == (1, 1_000)
    assert ranker.serves == 1
    assert policy(ranker) == ["version_policy: { specific { versions: [ 1 ] } }"]


def test_a_chosen_version_stays_chosen(filled: Layout, ranker: ModelFolder) -> None:
    mine = added(ranker, 1_000) / "mine"
    mine.touch()
    ranker.choose(1_000)
    models.fill(filled)
    assert ranker.serves == 1_000
    assert policy(ranker) == ["version_policy: { specific { versions: [ 1000 ] } }"]
    assert mine.exists()


def test_a_chosen_version_that_is_gone_is_not_missed(filled: Layout, ranker: ModelFolder) -> None:
    path = added(ranker, 1_000)
    ranker.choose(1_000)
    shutil.rmtree(path)
    models.fill(filled)
    assert ranker.serves == 1


def test_what_ships_is_renewed(filled: Layout, ranker: ModelFolder) -> None:
    code = ranker.path / "1" / "model.py"
    code.write_text("old")
    models.fill(filled)
    assert code.read_bytes() == (SHIPPED / "ranker" / "1" / "model.py").read_bytes()


def test_a_model_of_yours_alone_serves_its_newest(filled: Layout, ranker: ModelFolder) -> None:
    mine = models.repository(filled) / "mine"
    for version in ("3", "20", "draft", "007"):
        (mine / version).mkdir(parents=True)
    (mine / "config.pbtxt").write_text('name: "mine"\n')
    models.fill(filled)
    assert models.folder(filled, "mine").versions == (3, 20)
    assert models.folder(filled, "mine").serves == 20


def test_a_policy_of_its_own_is_refused(ranker: ModelFolder) -> None:
    file = ranker.path / "config.pbtxt"
    file.write_text(f"{file.read_text()}version_policy {{ all {{}} }}\n")
    with pytest.raises(StackError, match="has a version_policy; remove it, since"):
        ranker.config(1)


def test_a_model_that_is_not_there_names_those_that_are(filled: Layout) -> None:
    with pytest.raises(StackError, match=r"models/oracle holds no model; .*there are: emotion, "):
        models.folder(filled, "oracle")


def test_triton_is_told_each_model_by_name(layout: Layout) -> None:
    settings = Settings.model_validate({"triton": {"models": "ranker, emotion,"}})
    (program,) = triton.part(settings, layout).programs()
    told = [word for word in program.argv if word.startswith("--load-model")]
    assert told == ["--load-model=ranker", "--load-model=emotion"]
    assert f"--model-repository={models.repository(layout)}" in program.argv


def test_a_wanted_model_that_is_not_there_is_told_before_the_start(layout: Layout) -> None:
    settings = Settings.model_validate({"triton": {"models": "ranker,oracle"}})
    with pytest.raises(StackError, match="models/oracle holds no model"):
        triton.part(settings, layout).prepare()
