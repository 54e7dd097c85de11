"""The process through which jobs are handed to a Flink cluster, all of them through one JVM."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Self

from stack.layout import ROOT
from stack.part import StackError

FAILURES_SHOWN = 12
END_S = 10.0
COMMAND = (sys.executable, "-m", "jobs.submission")


class JobClient:
    """Takes some seconds to be warm; they are waited for when the first job is handed over."""

    def __init__(self, *, environ: Mapping[str, str], command: tuple[str, ...] = COMMAND) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the client)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def hand_over(self, name: str, configuration: Mapping[str, str]) -> str:
        """Give a job to the cluster; answers the job's id, or raises why it was refused."""
        told = self._ask({"job": name, "configuration": dict(configuration)})
        if "error" in told:
            raise StackError(f"{name} was not taken by Flink:\n{reason(told['error'])}")
        return str(told["job_id"])

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, str]:
        to, answers = self._process.stdin, self._process.stdout
        assert to is not None
        assert answers is not None
        try:
            to.write(json.dumps(asked) + "\n")
            to.flush()
            line = answers.readline()
        except BrokenPipeError:
            line = ""
        told: dict[str, str] = json.loads(line) if line else {"error": self._last_words()}
        return told

    def _last_words(self) -> str:
        code = self._process.wait(END_S)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        return f"{said}\nError: the client ended with exit code {code}"

    @property
    def lives(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it end; its JVM goes with it."""
        if self.lives:
            self._process.terminate()
        self._process.wait(END_S)
        # What was written to one that had died can't be flushed any more.
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reason(output: str) -> str:
    """What a Flink client says went wrong, without the frames of its stack traces."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    telling = [line for line in lines if "Error" in line or "Exception" in line or "error" in line]
    return "\n".join((telling or lines)[-FAILURES_SHOWN:])
