"""Writes the code of the `.proto` files beside them: `python -m serving.contracts.generate`.

With `--check` it compares.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

CONTRACTS = Path(__file__).parent
ROOT = CONTRACTS.parent.parent
OPTIONS = ("--python_out", "--grpc_python_out", "--mypy_out", "--mypy_grpc_out")


def modules() -> dict[Path, str]:
    """The text of each module and stub, by its path from the root of the code."""
    with TemporaryDirectory() as directory:
        _compile(Path(directory))
        made = sorted(path for path in Path(directory).rglob("*.py*") if path.is_file())
        return {one.relative_to(directory): one.read_text(encoding="utf-8") for one in made}


def different(root: Path = ROOT) -> Iterator[Path]:
    """What isn't as the `.proto` files want it."""
    for path, wanted in modules().items():
        target = root / path
        if not target.exists() or target.read_text(encoding="utf-8") != wanted:
            yield path


def main(arguments: list[str]) -> int:
    """Write the modules, or with `--check` say whether they are as the contracts want them."""
    if "--check" in arguments:
        stale = list(different())
        for path in stale:
            sys.stderr.write(f"{path} differs: run `python -m serving.contracts.generate`\n")
        return int(bool(stale))
    for path, text in modules().items():
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


def _compile(directory: Path) -> None:
    sources = sorted(str(path.relative_to(ROOT)) for path in CONTRACTS.rglob("*.proto"))
    # The plugins for stubs stand beside the interpreter, which need not be on the PATH.
    plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).with_name(f'protoc-gen-{name}')}"
        for name in ("mypy", "mypy_grpc")
    ]
    outputs = [f"{option}={directory}" for option in OPTIONS]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", *plugins, *outputs, *sources],
        cwd=ROOT,
        check=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
