"""The `freshet` command. Each module in `freshet.commands` adds its commands by `register(app)`."""

import importlib
import os
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from freshet import commands
from freshet.context import EXIT_WRONG_USE, Context
from settings import SettingsError
from stack.part import StackError
from stack.preflight import Missing

# All vectors here are small, and threads of the linear algebra would only wait for each other: on
# two busy cores answers took four times as long. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def build() -> typer.Typer:
    """The command with all its subcommands; their heavy imports wait until they run."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Personalization that reacts now.",
    )
    app.callback()(_options)
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"freshet.commands.{module.name}").register(app)
    return app


def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file; else $FRESHET_CONFIG, else ./freshet.toml if there."),
    ] = None,
) -> None:
    context.obj = Context(config_file=config)


def main() -> None:
    """Run the command; an error of use or of settings is one sentence and exit code 2."""
    try:
        build()()
    except SettingsError as error:
        _fail(str(error), EXIT_WRONG_USE)
    except (StackError, Missing) as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
