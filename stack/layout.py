"""Where things of one stack lie."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from settings import Settings

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Layout:
    """The directories of a stack; what isn't in the cache goes away with the data directory."""

    data: Path
    cache: Path

    @classmethod
    def of(cls, settings: Settings) -> "Layout":
        """Absolute paths, because the servers run in directories of their own."""
        return cls(
            data=settings.data_dir.expanduser().resolve(),
            cache=settings.cache_dir.expanduser().resolve(),
        )

    @property
    def id(self) -> str:
        """Tells this stack from others where a server leaves something outside its directory."""
        return hashlib.sha256(str(self.data).encode()).hexdigest()[:12]

    @property
    def run(self) -> Path:
        """Records and locks of what runs."""
        return self.data / "run"

    @property
    def settings_file(self) -> Path:
        """The settings in force when the stack was started, for the processes it starts."""
        return self.data / "settings.toml"

    @property
    def jobs(self) -> Path:
        """What is wanted of the jobs, how they are, and their code for a cluster elsewhere."""
        return self.data / "jobs"

    def log(self, program: str) -> Path:
        """The output of one program."""
        return self.data / "logs" / f"{program}.log"

    def record(self, program: str) -> Path:
        """What the keeper of a program says of it."""
        return self.run / f"{program}.json"

    def lock(self, program: str) -> Path:
        """Held by the kernel for the keeper of a program."""
        return self.run / f"{program}.lock"
