"""Triton, the model server, from the package `nvidia-pytriton`.

Only its Python backend is inside; the backend's stub belongs beside its library, so a backend
directory of our own is put together under the data directory.
"""

import http.client
import os
import shutil
import site
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from settings import Settings
from stack import models
from stack.health import http_json, http_trouble, split_address, tcp_trouble
from stack.layout import ROOT, Layout
from stack.packages import package_directory
from stack.part import Part, Program

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (the kernel's place, not a temporary file)
STUB = "triton_python_backend_stub"
NOT_LOADED = "isn't loaded"


def part(settings: Settings, layout: Layout) -> Part:
    """The model server."""
    triton = settings.triton
    return Part(
        name="triton",
        address="{}:{}".format(*split_address(triton.address, default_port=8001)),
        external=bool(triton.external),
        ports={
            "triton.grpc_port": triton.grpc_port,
            "triton.http_port": triton.http_port,
            "triton.metrics_port": triton.metrics_port,
        },
        program_names=("triton",),
        programs=lambda: (_server(settings, layout),),
        trouble=lambda: (
            tcp_trouble(triton.external, default_port=8001)
            if triton.external
            else _trouble(f"127.0.0.1:{triton.http_port}", models.wanted(settings))
        ),
        hopeless=lambda trouble: NOT_LOADED in trouble,
        prepare=lambda: _prepare(settings, layout),
        debris=_debris(layout),
    )


def _trouble(address: str, names: Sequence[str]) -> str:
    """Whether it answers, and every model that it was told to load does: one alone can fail."""
    trouble = http_trouble(address, "/v2/health/ready")
    if trouble:
        return trouble
    try:
        index = http_json(address, "/v2/repository/index", method="POST")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"http://{address}/v2/repository/index: {error}"
    return "; ".join(filter(None, (_model_trouble(name, index) for name in names)))


def _model_trouble(name: str, index: Sequence[Mapping[str, str]]) -> str:
    found = [one for one in index if one["name"] == name]
    if any(one.get("state") == "READY" for one in found):
        return ""
    failed = [reason for one in found if (reason := one.get("reason", ""))]
    told = " ".join("; ".join(failed).split())
    return f"model {name} {NOT_LOADED}: {told}" if failed else f"model {name}: loading"


def _home(layout: Layout) -> Path:
    return layout.data / "triton"


def _prefix(layout: Layout) -> str:
    return f"freshet-{layout.id}-"


def _package() -> Path:
    return package_directory("pytriton", distribution="nvidia-pytriton") / "tritonserver"


def _libraries() -> Path:
    """Libraries beside the package, which the stub finds by itself only where it was installed."""
    return package_directory("pytriton", distribution="nvidia-pytriton").with_name(
        "nvidia_pytriton.libs"
    )


def _server(settings: Settings, layout: Layout) -> Program:
    triton, home = settings.triton, _home(layout)
    libraries = os.environ.get("LD_LIBRARY_PATH")
    return Program(
        name="triton",
        argv=(
            str(_package() / "bin" / "tritonserver"),
            f"--model-repository={models.repository(layout)}",
            f"--backend-directory={home / 'backends'}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in models.wanted(settings)),
            *("--exit-on-error=false", "--strict-readiness=false"),
            # Completing a configuration starts the model once more, and hangs where that fails.
            "--disable-auto-complete-config",
            *("--http-address=127.0.0.1", f"--http-port={triton.http_port}"),
            *("--grpc-address=127.0.0.1", f"--grpc-port={triton.grpc_port}"),
            *("--metrics-address=127.0.0.1", f"--metrics-port={triton.metrics_port}"),
            f"--backend-config=python,shm-region-prefix-name={_prefix(layout)}",
            "--exit-timeout-secs=5",
        ),
        cwd=home,
        environ={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([*site.getsitepackages(), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [str(_libraries()), libraries])),
        },
        restart=True,
        debris=_debris(layout),
    )


def _debris(layout: Layout) -> tuple[str, ...]:
    return (f"{SHARED_MEMORY}/{_prefix(layout)}*",)


def _prepare(settings: Settings, layout: Layout) -> None:
    """Have the models there; copy the Python backend, its stub for this Python beside it."""
    models.fill(layout)
    for name in models.wanted(settings):
        models.folder(layout, name)
    package = _package()
    backend = _home(layout) / "backends" / "python"
    shutil.copytree(package / "backends" / "python", backend, dirs_exist_ok=True)
    # Stubs of a server that was just killed may still run, and what runs can't be overwritten.
    (backend / STUB).unlink(missing_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(package / "python_backend_stubs" / version / STUB, backend / STUB)
