"""Our own processes: the writers into the stores, and the HTTP service."""

import sys

from settings import Settings
from stack.health import http_trouble
from stack.layout import Layout
from stack.part import Part, Program


def writers(settings: Settings, layout: Layout) -> Part:
    """What carries the jobs' results into Redis and Milvus."""
    address = f"127.0.0.1:{settings.writers.metrics_port}"
    return _part(
        layout,
        name="writers",
        command=("writers", "run"),
        address=address,
        ports={"writers.metrics_port": settings.writers.metrics_port},
        page="/metrics",
    )


def api(settings: Settings, layout: Layout) -> Part:
    """What answers requests."""
    return _part(
        layout,
        name="api",
        command=("api",),
        address=f"{settings.serving.host}:{settings.serving.port}",
        ports={
            "serving.port": settings.serving.port,
            "serving.grpc_port": settings.serving.grpc_port,
        },
        page="/healthz",
    )


def _part(
    layout: Layout,
    *,
    name: str,
    command: tuple[str, ...],
    address: str,
    ports: dict[str, int],
    page: str,
) -> Part:
    return Part(
        name=name,
        address=address,
        external=False,
        ports=ports,
        program_names=(name,),
        programs=lambda: (own_program(layout, name=name, command=command),),
        trouble=lambda: http_trouble(address, page),
        needs_servers=True,
    )


def own_program(layout: Layout, *, name: str, command: tuple[str, ...]) -> Program:
    """A `freshet` command that runs until it is stopped, with the settings of the stack."""
    argv = (sys.executable, "-m", "freshet", f"--config={layout.settings_file}", *command)
    return Program(name=name, argv=argv, cwd=layout.data, restart=True)
