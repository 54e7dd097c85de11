"""The directory that several stacks share: what is in it is complete, or not there."""

import shutil
from pathlib import Path


def publish(draft: Path, target: Path) -> None:
    """Put the whole directory in place at once; another stack may have been quicker."""
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(draft)
