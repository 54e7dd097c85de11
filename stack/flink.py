"""Flink: a JobManager and TaskManagers of one slot each, from the package `apache-flink`."""

import os
import re
import shutil
import site
import sys
from pathlib import Path

from settings import Settings
from stack.health import http_json, http_trouble, split_address
from stack.jars import fetch_jars
from stack.layout import ROOT, Layout
from stack.packages import package_directory
from stack.part import Part, Program, StackError

ENGINE_KEYS = ROOT / "flink-conf"
PYTHON_JAR = "flink-python-*.jar"


def part(settings: Settings, layout: Layout) -> Part:
    """The stream processor."""
    flink = settings.flink
    return Part(
        name="flink",
        address="{}:{}".format(*split_address(flink.rest_address, default_port=8081)),
        external=bool(flink.external),
        ports=_ports(settings),
        program_names=("jobmanager", *_taskmanager_names(settings)),
        programs=lambda: (_jobmanager(settings, layout), *_taskmanagers(settings, layout)),
        trouble=lambda: _trouble(settings),
        prepare=lambda: compose(settings, layout),
    )


def client_environment(settings: Settings) -> dict[str, str]:
    """What `flink run` needs in its environment, beside what is there already."""
    layout = Layout.of(settings)
    return {
        "FLINK_HOME": str(_home()),
        "FLINK_CONF_DIR": str(_conf(layout)),
        "FLINK_LIB_DIR": str(_lib(layout)),
        "PYTHONPATH": _python_path(),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


def client_command(*arguments: str) -> tuple[str, ...]:
    """The `flink` command line of the installed package."""
    return (str(_home() / "bin" / "flink"), *arguments)


def python_jars() -> tuple[Path, ...]:
    """PyFlink's jar, which a cluster has beside its class path only."""
    return tuple((_home() / "opt").glob(PYTHON_JAR))


def compose(settings: Settings, layout: Layout) -> None:
    """Put together the configuration and the class path under the data directory."""
    conf, lib = _conf(layout), _lib(layout)
    for directory in (conf, lib, _tmp(layout)):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    for name in ("log4j-console.properties", "log4j-cli.properties"):
        shutil.copy(ENGINE_KEYS / name, conf / name)
    shipped = (_home() / "conf" / "config.yaml").read_text()
    engine = (ENGINE_KEYS / "config.yaml").read_text()
    (conf / "config.yaml").write_text(configuration(settings, layout, engine, shipped))
    _link_jars(fetch_jars(layout.cache) / "flink", lib)


def configuration(settings: Settings, layout: Layout, engine: str, shipped: str) -> str:
    """The engine keys, and after them what depends on this machine and these settings."""
    placed = "".join(f"{key}: {value}\n" for key, value in _placed(settings, layout).items())
    return f"{engine}\n{placed}env.java.opts.all: {_java_options(shipped)}\n"


def _placed(settings: Settings, layout: Layout) -> dict[str, object]:
    host, port = split_address(settings.flink.rest_address, default_port=8081)
    flink, home = settings.flink, layout.data / "flink"
    return {
        "jobmanager.rpc.address": host,
        "jobmanager.rpc.port": flink.rpc_port,
        "jobmanager.bind-host": "127.0.0.1",
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "rest.address": host,
        "rest.port": port,
        "rest.bind-address": "127.0.0.1",
        "parallelism.default": flink.parallelism,
        "execution.checkpointing.dir": (home / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (home / "savepoints").as_uri(),
        "io.tmp.dirs": _tmp(layout),
        "web.tmpdir": _tmp(layout),
        "env.pid.dir": _tmp(layout),
        "env.log.dir": layout.data / "logs",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }


def _java_options(shipped: str) -> str:
    """The module flags that the shipped configuration sets; without them Java 17 refuses."""
    found = re.search(r"^\s+all:\s*(--add-exports.*)$", shipped, re.MULTILINE)
    if found is None:
        raise StackError(
            "apache-flink's own config.yaml no longer sets env.java.opts.all; "
            "install the version that constraints.txt names"
        )
    return found[1].strip()


def _link_jars(connectors: Path, lib: Path) -> None:
    """Flink's own jars, the connectors, and PyFlink's.

    PyFlink's jar is on the cluster's class path, not only in each job's: the native library of
    thread mode can be loaded by one class loader in a process, and a restarted job has a new one.
    """
    sources = [
        *(_home() / "lib").glob("*.jar"),
        *python_jars(),
        *connectors.glob("*.jar"),
    ]
    for jar in sources:
        (lib / jar.name).symlink_to(jar)


def _ports(settings: Settings) -> dict[str, int]:
    flink = settings.flink
    metrics = {
        f"flink.metrics_port + {n}": flink.metrics_port + n for n in range(flink.taskmanagers + 1)
    }
    return {"flink.rest_port": flink.rest_port, "flink.rpc_port": flink.rpc_port} | metrics


def _home() -> Path:
    return package_directory("pyflink", distribution="apache-flink")


def _conf(layout: Layout) -> Path:
    return layout.data / "flink" / "conf"


def _lib(layout: Layout) -> Path:
    return layout.data / "flink" / "lib"


def _tmp(layout: Layout) -> Path:
    return layout.data / "flink" / "tmp"


def _python_path() -> str:
    """Thread mode looks for its library here, and jobs import our own packages from it."""
    return os.pathsep.join([*site.getsitepackages(), str(ROOT)])


def _taskmanager_names(settings: Settings) -> tuple[str, ...]:
    return tuple(f"taskmanager-{n}" for n in range(1, settings.flink.taskmanagers + 1))


def _jobmanager(settings: Settings, layout: Layout) -> Program:
    return _program("jobmanager", "jobmanager.sh", settings.flink.metrics_port, layout)


def _taskmanagers(settings: Settings, layout: Layout) -> tuple[Program, ...]:
    """Each comes back under its old name: its jobs are moved at once."""
    return tuple(
        _program(
            name,
            "taskmanager.sh",
            settings.flink.metrics_port + n,
            layout,
            "-D",
            f"taskmanager.resource-id={name}",
        )
        for n, name in enumerate(_taskmanager_names(settings), start=1)
    )


def _program(name: str, script: str, metrics_port: int, layout: Layout, *more: str) -> Program:
    return Program(
        name=name,
        argv=(
            *(str(_home() / "bin" / script), "start-foreground"),
            *("-D", f"metrics.reporter.prom.port={metrics_port}", *more),
        ),
        cwd=layout.data / "flink",
        environ={
            "FLINK_CONF_DIR": str(_conf(layout)),
            "FLINK_LIB_DIR": str(_lib(layout)),
            "PYTHONPATH": _python_path(),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        restart=True,
    )


def _trouble(settings: Settings) -> str:
    address = settings.flink.rest_address
    trouble = http_trouble(address, "/overview")
    if trouble or settings.flink.external:
        return trouble
    registered = http_json(address, "/overview")["taskmanagers"]
    wanted = settings.flink.taskmanagers
    return "" if registered >= wanted else f"{registered} of {wanted} TaskManagers registered"
