"""Files that are made from the code: written, or held against what the code says now."""

import sys
from collections.abc import Sequence
from pathlib import Path


def keep(file: Path, wanted: str, *, arguments: Sequence[str], module: str) -> int:
    """Write the file, or with `--check` among the arguments say whether it is up to date."""
    if "--check" not in arguments:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"{file.name} differs: run `python -m {module}`\n")
        return 1
    return 0
