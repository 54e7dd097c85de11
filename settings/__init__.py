"""What a deployment decides: one frozen, typed object, read once at the edge of a program."""

from settings.load import SettingsError, load_settings
from settings.model import Settings

__all__ = ["Settings", "SettingsError", "load_settings"]
