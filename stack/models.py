"""The models that the stack's own Triton serves: those that ship, and yours beside them.

They lie in `models/` of the data directory, so that a version can be added without touching the
program. What ships is copied there whenever Triton is started; its versions are below `OWN_FROM`,
and yours from there on, so neither ever takes the other's place. Of each model one version is
served: the one that was chosen, else the newest that ships. A version that merely appears changes
nothing.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from settings import Settings
from stack.layout import ROOT, Layout
from stack.part import StackError

SHIPPED = ROOT / "serving" / "models"
OWN_FROM = 1_000
CONFIG, CHOICE = "config.pbtxt", "chosen"

_POLICY = re.compile(r"^version_policy: \{ specific \{ versions: \[ \d+ \] \} \}\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model in the repository."""

    path: Path

    @property
    def versions(self) -> tuple[int, ...]:
        """What is on the disk, oldest first."""
        return tuple(sorted(_versions(self.path)))

    @property
    def chosen(self) -> int | None:
        """The version that somebody chose, while it is there."""
        file = self.path / CHOICE
        chosen = int(file.read_text(encoding="utf-8")) if file.exists() else None
        return chosen if chosen in self.versions else None

    @property
    def serves(self) -> int:
        """The version that is served from a start on."""
        shipped = [version for version in self.versions if version < OWN_FROM]
        return self.chosen or (shipped or self.versions)[-1]

    def config(self, version: int) -> str:
        """The model's configuration when this version alone is served."""
        text = _POLICY.sub("", (self.path / CONFIG).read_text(encoding="utf-8"))
        if "version_policy" in text:
            raise StackError(
                f"{self.path / CONFIG} has a version_policy; remove it, since "
                "`freshet model load` says which version is served"
            )
        return f"{text}version_policy: {{ specific {{ versions: [ {version} ] }} }}\n"

    def choose(self, version: int) -> None:
        """Have this version served from now on, whenever Triton starts."""
        (self.path / CHOICE).write_text(f"{version}\n", encoding="utf-8")
        self.settle()

    def settle(self) -> None:
        """Write into the configuration which version is served."""
        text = self.config(self.serves)
        (self.path / CONFIG).write_text(text, encoding="utf-8")


def repository(layout: Layout) -> Path:
    """Where the models of a stack lie."""
    return layout.data / "models"


def wanted(settings: Settings) -> tuple[str, ...]:
    """The models that Triton is told to load.

    >>> "ranker" in wanted(Settings())
    True
    """
    names = (name.strip() for name in settings.triton.models.split(","))
    return tuple(name for name in names if name)


def folder(layout: Layout, name: str) -> ModelFolder:
    """A model by its name, or StackError where it has no version."""
    found = ModelFolder(path=repository(layout) / name)
    if not found.versions or not (found.path / CONFIG).exists():
        there = ", ".join(one.path.name for one in folders(layout)) or "none"
        raise StackError(
            f"{found.path} holds no model; a model has {CONFIG} and a directory a version, "
            f"named by its number; there are: {there}"
        )
    return found


def folders(layout: Layout) -> list[ModelFolder]:
    """All models of a stack that have a version."""
    paths = sorted(path.parent for path in repository(layout).glob(f"*/{CONFIG}"))
    found = [ModelFolder(path=path) for path in paths]
    return [one for one in found if one.versions]


def fill(layout: Layout) -> None:
    """Copy what ships, and settle which version of each model is served."""
    shutil.copytree(SHIPPED, repository(layout), dirs_exist_ok=True)
    for one in folders(layout):
        one.settle()


def _versions(path: Path) -> Iterator[int]:
    for one in path.iterdir() if path.is_dir() else ():
        if one.is_dir() and re.fullmatch(r"[1-9]\d*", one.name):
            yield int(one.name)
