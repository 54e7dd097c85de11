"""What every command gets: the settings, read when a command first asks for them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer

from settings import Settings, load_settings

EXIT_WRONG_USE = 2


@dataclass
class Context:
    """The options before the command."""

    config_file: Path | None

    @cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        return load_settings(self.config_file)


def settings_of(context: typer.Context) -> Settings:
    """The settings in force for a command."""
    options = context.find_object(Context)
    assert options is not None
    return options.settings
