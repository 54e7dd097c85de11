"""The card that stands beside the user tower: what it is, was made of, and can't do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_suffix(".txt")
WAYS = {
    "popular": "what is popular, for everybody",
    "embedding": "the streamed embedding as it is",
    "taste": "the mean of the taste",
    "both": "half of each",
    "tower": "**the tower**",
}


def card(scores: Mapping[str, Any]) -> str:
    """The card of a file with these scores."""
    gains = scores["gain"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        megabytes=scores["bytes"] / 1e6,
        learned=scores["learned"],
        questions=scores["questions"],
        items=scores["items"],
        space=scores["space"],
        tables="\n\n".join(_table(title, group) for title, group in scores["groups"].items()),
        together=scores["both_lists"]["tower"],
        together_before=scores["both_lists"]["embedding"],
        gain=gains["embedding"]["mean"],
        error=gains["embedding"]["error"],
    )


def _table(title: str, group: Mapping[str, Any]) -> str:
    lines = [
        f"| {said} | {group[name]['recall_200']:.3f} | {group[name]['ndcg_20']:.3f} |"
        for name, said in WAYS.items()
    ]
    heading = f"| {title} ({group['questions']}) | recall@200 | NDCG@20 |"
    return "\n".join([heading, "|---|---|---|", *lines])
