"""What the documents say is there: links lead somewhere, commands exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CLICK = re.compile(r'^\s*click \w+ "([^"]+)"', re.MULTILINE)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def links(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [link for link in LINK.findall(text) + CLICK.findall(text) if "://" not in link]


def console_lines(document: Path) -> list[str]:
    blocks = CONSOLE.findall(document.read_text(encoding="utf-8"))
    joined = "".join(blocks).replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in joined.splitlines() if line.strip()]


def command_lines(program: str) -> list[str]:
    lines = {line for document in DOCUMENTS for line in console_lines(document)}
    return sorted(line for line in lines if Path(line.split()[0]).name == program)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    missing = [link for link in links(document) if not (document.parent / link).exists()]

    assert missing == []


def test_the_picture_links_to_code() -> None:
    assert len(CLICK.findall((ROOT / "docs/dataflow.md").read_text(encoding="utf-8"))) >= 12


@pytest.mark.parametrize("line", command_lines("make"))
def test_every_make_target_exists(line: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", command_lines("freshet"))
def test_every_freshet_command_takes_what_the_document_gives_it(line: str) -> None:
    """Its help knows every option; its words before the first value or option are commands."""
    words = shlex.split(line)[1:]
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    commands = words[: next((i for i, word in enumerate(words) if word.startswith("-")), 2)][:2]
    shown = ""
    for length in range(len(commands), 0, -1):
        done = subprocess.run(
            [sys.executable, "-m", "freshet", *commands[:length], "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        )
        if done.returncode == 0:
            shown = done.stdout
            break

    assert shown, f"{line}: {done.stderr}"
    assert [option for option in options if option not in shown] == []
