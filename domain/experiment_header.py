"""The header `X-Experiment`: the arms that an answer was made with.

It is a dictionary of structured field values (RFC 9651), so any parser of those reads it: the key
is the experiment, the value is the arm, and the parameter `forced` marks an override, as in
`explore=bold, ranking=control;forced`. Without any arm there is no header.
"""

import re
from collections.abc import Sequence

from schemas.types import Exposure

EXPERIMENT_HEADER = "X-Experiment"
# What may be both a key and a token there, an arm and a part of a segment.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_MEMBER = re.compile(rf"({NAME.pattern})=({NAME.pattern})(;forced)?")


def header_text(exposures: Sequence[Exposure]) -> str | None:
    """The text of the header, None where it is left out.

    >>> header_text([Exposure(experiment_id="explore", arm="bold", forced=True)])
    'explore=bold;forced'
    """
    members = (
        f"{one.experiment_id}={one.arm}{';forced' if one.forced else ''}" for one in exposures
    )
    return ", ".join(members) or None


def arms_in_header(text: str) -> dict[str, str]:
    """The arm of each experiment that a header names.

    >>> arms_in_header("explore=bold, ranking=control;forced")
    {'explore': 'bold', 'ranking': 'control'}
    """
    return dict(_member(part.strip(" \t")) for part in text.split(",")) if text.strip() else {}


def _member(part: str) -> tuple[str, str]:
    found = _MEMBER.fullmatch(part)
    if found is None:
        raise ValueError(
            f"{EXPERIMENT_HEADER} has {part!r}; it reads experiment=arm, experiment=arm;forced"
        )
    return found[1], found[2]
