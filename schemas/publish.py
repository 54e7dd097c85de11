"""Adds changed schemas to `history/`: `python -m schemas.publish`, or `--check` in CI.

A schema may change only so that messages of its predecessor stay readable (backward) and readers of
the predecessor can read its messages (forward), because jobs and services are never upgraded in the
same instant.
"""

import json
import sys
from collections.abc import Iterator

from schemas import registry
from schemas.compatibility import conflicts


def problems() -> Iterator[str]:
    """What keeps the schemas from being published as they are."""
    for name in registry.NAMES:
        files = registry.history_files(name)
        if not files:
            continue
        predecessor = json.loads(files[-1].read_text(encoding="utf-8"))
        now = registry.expanded(name)
        for problem in conflicts(writer=predecessor, reader=now):
            yield f"{name}: can't read messages of version {files[-1].stem}: {problem}"
        for problem in conflicts(writer=now, reader=predecessor):
            yield f"{name}: readers of version {files[-1].stem} can't read it: {problem}"


def unpublished() -> list[str]:
    """Names whose schema is not the latest of its history."""
    return [name for name in registry.NAMES if not _is_published(name)]


def _is_published(name: str) -> bool:
    files = registry.history_files(name)
    return bool(files) and files[-1].read_text(encoding="utf-8") == _published_form(name)


def _published_form(name: str) -> str:
    return json.dumps(registry.expanded(name), ensure_ascii=False) + "\n"


def _publish(name: str) -> str:
    number = len(registry.history_files(name)) + 1
    file = registry.HISTORY_DIR / name / f"{number}.avsc"
    file.parent.mkdir(exist_ok=True)
    file.write_text(_published_form(name), encoding="utf-8")
    return f"{name}: version {number}"


def main(arguments: list[str]) -> int:
    """Publish what changed, or with `--check` say what is not published or not compatible."""
    found = list(problems())
    if "--check" in arguments:
        found += [f"{name}: changed; run `python -m schemas.publish`" for name in unpublished()]
    elif not found:
        done = [_publish(name) for name in unpublished()]
        sys.stdout.write("\n".join([*done, ""]))
    sys.stderr.write("".join(f"{problem}\n" for problem in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
