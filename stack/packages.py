"""Finds the servers inside installed Python packages, without importing these."""

import importlib.util
from pathlib import Path

from stack.part import StackError


def package_directory(package: str, *, distribution: str) -> Path:
    """The directory of an installed package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            f"the Python package {distribution} isn't installed in this environment; "
            f"run `make setup`, or `pip install 'freshet[jobs,stack]'`"
        )
    return Path(next(iter(spec.submodule_search_locations)))
