"""Turns errors that explain themselves into one sentence and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def explained(*kinds: type[Exception], code: int = 1) -> Iterator[None]:
    """Inside, an error of these kinds is printed as it reads, and the command ends with `code`."""
    try:
        yield
    except kinds as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(code) from error
