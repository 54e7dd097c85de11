"""Free ports, and who holds the others."""

import random
import socket
from collections.abc import Mapping

import psutil

from settings import Settings
from settings.load import ENV_PREFIX
from settings.model import Section

# Below the range from which systems take the ports of outgoing connections.
LOWEST, HIGHEST = 20_000, 32_000
MILVUS_INNER_PORTS = 11


def taken_ports(ports: Mapping[str, int]) -> list[str]:
    """A sentence for each port that can't be had: who holds it, and what to do.

    `ports` names each port by its setting, as in `milvus.inner_port + 2`.
    """
    return [_sentence(setting, port) for setting, port in ports.items() if not is_free(port)]


def is_free(port: int) -> bool:
    """Whether a server could listen here now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
            attempt.listen(1)
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """The process that listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "a process that can't be seen from here"
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port:
            return _process_name(connection.pid)
    return "a process that can't be seen from here"


def free_ports(settings: Settings, *, chance: random.Random | None = None) -> Settings:
    """The same settings with every port replaced by a free one, for a stack beside another."""
    port = (chance or random.SystemRandom()).randrange(LOWEST, HIGHEST)
    sections = _sections(settings)
    for name, section in sections.items():
        for key in _port_keys(section):
            width = _ports_in_a_row(settings, f"{name}.{key}")
            port = _free_run(port, width)
            sections[name] = sections[name].model_copy(update={key: port})
            port += width
    return settings.model_copy(update=sections)


def _sections(settings: Settings) -> dict[str, Section]:
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {name: value for name, value in values.items() if isinstance(value, Section)}


def _port_keys(section: Section) -> list[str]:
    return [key for key in type(section).model_fields if key == "port" or key.endswith("_port")]


def _ports_in_a_row(settings: Settings, key: str) -> int:
    rows = {
        "flink.metrics_port": settings.flink.taskmanagers + 1,
        "milvus.inner_port": MILVUS_INNER_PORTS,
    }
    return rows.get(key, 1)


def _free_run(start: int, width: int) -> int:
    """First port of the first run of `width` free ports from `start` on."""
    first = start
    while not all(is_free(port) for port in range(first, first + width)):
        first += 1
    return first


def _sentence(setting: str, port: int) -> str:
    key = setting.split(" ")[0]
    variable = ENV_PREFIX + key.upper().replace(".", "__")
    return (
        f"port {port} ({setting}) is taken by {holder(port)}; "
        f"stop that, or choose another port: {key} in freshet.toml, or {variable}"
    )


def _process_name(pid: int | None) -> str:
    try:
        process = psutil.Process(pid)
        return f"process {process.pid} ({process.name()}, running in {process.cwd()})"
    except psutil.Error:
        return f"process {pid}"
