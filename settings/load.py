"""Reads settings from a TOML file and the environment, the environment winning."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from settings.model import Section, Settings

ENV_PREFIX = "FRESHET_"
FILE_VARIABLE = "FRESHET_CONFIG"
DEFAULT_FILE = Path("freshet.toml")
MASK = "********"


class SettingsError(Exception):
    """A value can't be used; the message names its key, the value, and what is allowed."""


def load_settings(
    file: Path | None = None, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from `file` (else $FRESHET_CONFIG, else ./freshet.toml if there), then environment.

    A key `port` of section `kafka` is `FRESHET_KAFKA__PORT` in the environment, and one of a
    section within a section has both before it, as `FRESHET_LIMITS__FREE__PERSONALIZE`.
    """
    environment = os.environ if environ is None else environ
    chosen = file or _file_from(environment)
    values = _read_toml(chosen) if chosen else {}
    _overlay(values, environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def shown(settings: Section) -> dict[str, Any]:
    """The values in force as plain data, secrets masked.

    >>> shown(Settings())["redis"]["external"]
    ''
    """
    return {name: _shown_value(getattr(settings, name)) for name in type(settings).model_fields}


def revealed(settings: Section) -> dict[str, Any]:
    """The values in force as plain data, secrets and all: for a file that only its owner reads."""
    return {name: _plain(getattr(settings, name)) for name in type(settings).model_fields}


def toml_lines(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`shown` as TOML, plain keys before sections.

    >>> list(toml_lines({"a": 1, "kafka": {"port": 2}}))
    ['a = 1', '', '[kafka]', 'port = 2']
    """
    for key, value in values.items():
        if not isinstance(value, dict):
            yield f"{key} = {_toml_value(value)}"
    for key, value in values.items():
        if isinstance(value, dict):
            yield ""
            yield f"[{prefix}{key}]"
            yield from toml_lines(value, f"{prefix}{key}.")


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _shown_value(value: Any) -> Any:
    if isinstance(value, Section):
        return shown(value)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return revealed(value)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def _file_from(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"{file}: can't be read ({reason}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is not valid TOML: {error}") from error


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in environment.items():
        if not name.startswith(ENV_PREFIX) or name == FILE_VARIABLE:
            continue
        *sections, key = name.removeprefix(ENV_PREFIX).lower().split("__")
        table: Any = values
        for section in sections:
            table = table.setdefault(section, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[key] = text


def _explain(error: ValidationError) -> str:
    return "\n".join(_explain_one(detail) for detail in error.errors())


def _explain_one(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    key = ".".join(path)
    if detail["type"] == "extra_forbidden":
        known = ", ".join(_section_at(path[:-1]).model_fields)
        return f"{key}: there is no such setting; known here: {known}"
    value = detail["input"]
    allowed = detail["msg"][:1].lower() + detail["msg"][1:]
    secret = _is_secret(path)
    return f"{key} = {MASK if secret else repr(value)}: {allowed}"


def _section_at(path: list[str]) -> type[Section]:
    section: type[Section] = Settings
    for name in path:
        annotation = section.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Section)):
            break
        section = annotation
    return section


def _is_secret(path: list[str]) -> bool:
    field = _section_at(path[:-1]).model_fields.get(path[-1])
    return field is not None and field.annotation is SecretStr
