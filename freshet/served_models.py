"""Models from both sides: what lies in the repository, and what the model server says of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.model_control import ModelServer, ModelServerError, ServedVersion, with_version
from settings import Settings
from stack import models
from stack.layout import Layout
from stack.models import ModelFolder
from stack.part import StackError

ASK_TIMEOUT_S = 5.0
# A model may be large, and its old version may have much to answer before it goes.
LOAD_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """A model: its versions on the disk, the one that a start serves, and all that are known.

    Of an external server's models nothing is known but what it says.
    """

    name: str
    on_disk: tuple[int, ...] = ()
    serves: int | None = None
    versions: tuple[ServedVersion, ...] = ()

    @property
    def served(self) -> ServedVersion | None:
        """The version that answers now: of several the newest, as requests name none."""
        ready = [one for one in self.versions if one.is_ready]
        return max(ready, key=lambda one: one.version, default=None)

    @property
    def trouble(self) -> str:
        """Why none answers, or that a start would serve another one than answers now."""
        if self.served is None:
            reasons = [f"{one.version}: {one.reason}" for one in self.versions if one.reason]
            return "; ".join(reasons) or "not loaded"
        if self.serves not in {None, self.served.version}:
            return f"version {self.serves} is served from the next start on"
        return ""


def statuses(settings: Settings) -> list[ModelStatus]:
    """Every model, by name."""
    with ModelServer(settings.triton.address, timeout_s=ASK_TIMEOUT_S) as server:
        known = server.versions()
    own = {} if settings.triton.external else _own(settings)
    return [
        ModelStatus(
            name=name,
            on_disk=own[name].versions if name in own else (),
            serves=own[name].serves if name in own else None,
            versions=tuple(known.get(name, ())),
        )
        for name in sorted(known.keys() | own.keys())
    ]


def load(settings: Settings, name: str, version: int | None) -> int:
    """Serve a version (the newest without one) now, and whenever our Triton starts."""
    with ModelServer(settings.triton.address, timeout_s=LOAD_TIMEOUT_S) as server:
        if settings.triton.external:
            return _load_elsewhere(server, name, version)
        folder = models.folder(Layout.of(settings), name)
        chosen = _among(folder.versions, version, where=str(folder.path))
        _load(server, name, with_version(folder.config(chosen), chosen))
        folder.choose(chosen)
        return chosen


def unload(settings: Settings, name: str) -> None:
    """Serve no version of a model until it is loaded, or our Triton starts."""
    with ModelServer(settings.triton.address, timeout_s=LOAD_TIMEOUT_S) as server:
        if name not in server.versions():
            raise ModelServerError(f"{settings.triton.address} has no model {name!r} loaded")
        server.unload(name)


def _own(settings: Settings) -> dict[str, ModelFolder]:
    return {one.path.name: one for one in models.folders(Layout.of(settings))}


def _load_elsewhere(server: ModelServer, name: str, version: int | None) -> int:
    if version is None:
        raise ModelServerError(
            f"the versions of {name} lie with the external server; say which one by --version"
        )
    _load(server, name, with_version(server.config(name), version))
    return version


def _load(server: ModelServer, name: str, config: str) -> None:
    try:
        server.load(name, config)
    except ModelServerError as error:
        raise ModelServerError(f"{error}; {name} goes on as before") from error


def _among(versions: Sequence[int], version: int | None, *, where: str) -> int:
    chosen = versions[-1] if version is None else version
    if chosen not in versions:
        there = ", ".join(map(str, versions))
        raise StackError(f"{where} has no version {chosen}; there are: {there}")
    return chosen
