"""Writes the contract of the HTTP interface: `python -m serving.publish`, or `--check` in CI."""

import json
import sys
from pathlib import Path

from serving.app import create_app
from settings import Settings

CONTRACT = Path(__file__).parent / "contracts" / "openapi.json"


def contract() -> str:
    """The description of the interface, as the file has it."""
    description = create_app(Settings()).openapi()
    return json.dumps(description, ensure_ascii=False, indent=2) + "\n"


def main(arguments: list[str], *, file: Path = CONTRACT) -> int:
    """Write the file, or with `--check` say whether it is up to date."""
    wanted = contract()
    if "--check" not in arguments:
        file.write_text(wanted, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"{file.name} differs: run `python -m serving.publish`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
