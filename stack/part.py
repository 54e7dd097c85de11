"""What a part of the stack is: data that `lifecycle` acts on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


class StackError(Exception):
    """Something in the way of the stack; the message says what, and what to do."""


def _nothing() -> None:
    """Do nothing."""


def _passes(_trouble: str) -> bool:
    """No trouble is known that waiting wouldn't end."""
    return False


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process of a part. `debris` are patterns of files that it leaves elsewhere if killed.

    One to be restarted comes back whatever ended it, except by itself right after its first start:
    then it can't be started, and `up` tells why.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    restart: bool = False
    debris: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A server, or one of our own services: its programs, its ports, and how to see it's well.

    `ports` names each port by its setting. `programs` is called when they are to be started, so
    that nothing has to be installed for looking at a stack. `trouble` answers what is wrong, ""
    when all is well, and `hopeless` whether waiting won't end that trouble. `debris` are patterns
    of files that a killed server leaves elsewhere.
    """

    name: str
    address: str
    external: bool
    ports: Mapping[str, int]
    program_names: tuple[str, ...]
    programs: Callable[[], tuple[Program, ...]]
    trouble: Callable[[], str]
    hopeless: Callable[[str], bool] = _passes
    prepare: Callable[[], None] = _nothing
    needs_servers: bool = False
    debris: tuple[str, ...] = ()
