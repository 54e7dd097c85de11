"""A stack of its own: free ports, a directory of its own. For tests, and beside another stack."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from settings import Settings
from settings.load import ENV_PREFIX
from stack import lifecycle, processes
from stack.layout import Layout
from stack.lifecycle import PartStatus
from stack.part import StackError
from stack.ports import free_ports

GONE_S = 10


@dataclass(frozen=True)
class LocalStack:
    """A stack by its settings; whoever makes one ends it with `down`."""

    settings: Settings

    @classmethod
    def beside(cls, settings: Settings, *, data_dir: Path) -> "LocalStack":
        """One like `settings`, on free ports and in another directory."""
        return cls(free_ports(settings.model_copy(update={"data_dir": data_dir})))

    @property
    def layout(self) -> Layout:
        """Where its things lie."""
        return Layout.of(self.settings)

    @property
    def config_file(self) -> Path:
        """Its settings as a file, for `freshet --config`; there from the first `up` on."""
        return self.layout.settings_file

    def up(self, *parts: str) -> list[PartStatus]:
        """Start parts (the servers if none is named) and wait until they are well."""
        return lifecycle.up(self.settings, parts or lifecycle.SERVERS)

    def down(self, *parts: str) -> list[str]:
        """Stop parts, all if none is named."""
        return lifecycle.down(self.settings, parts)

    def status(self, part: str) -> PartStatus:
        """How a part is now."""
        return lifecycle.status(self.settings, [part])[0]

    def pid(self, program: str) -> int:
        """The process of a program, as in `taskmanager-1`."""
        return self._record(program).pid

    def _record(self, program: str) -> processes.Record:
        record = processes.read_record(program, self.layout)
        if record is None:
            raise StackError(f"{program} was never started; start its part with `up` first")
        return record

    def kill(self, program: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program, past its keeper; answers the process that it went to.

        A killed one comes back by itself.
        """
        pid = self.pid(program)
        os.kill(pid, number)
        return pid

    def take_away(self, program: str) -> None:
        """Kill a program and its keeper, so that it stays away until the next `up`.

        Its ports are free once it is gone, which its keeper isn't there to see.
        """
        os.kill(self._record(program).keeper, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            psutil.Process(self.kill(program)).wait(timeout=GONE_S)

    def freshet(
        self, *arguments: str, check: bool = True, timeout_s: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run the `freshet` command with this stack's settings and no others."""
        environ = {name: v for name, v in os.environ.items() if not name.startswith(ENV_PREFIX)}
        return subprocess.run(
            [sys.executable, "-m", "freshet", f"--config={self.config_file}", *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout_s,
        )
