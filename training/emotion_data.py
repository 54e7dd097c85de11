"""The texts that the emotion classifier learns from, read from a directory that the user gives."""

import csv
import io
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from domain.emotion import LABELS, Label
from domain.emotion_text import words_and_marks

Floats = NDArray[np.float32]

# The published grouping of GoEmotions' labels (Demszky et al. 2020) by the emotions of Ekman.
GROUPS: Mapping[Label, str] = MappingProxyType(
    {
        "anger": "anger annoyance disapproval",
        "disgust": "disgust",
        "fear": "fear nervousness",
        "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration "
        "desire caring",
        "sadness": "sadness disappointment embarrassment grief remorse",
        "surprise": "surprise realization confusion curiosity",
        "neutral": "neutral",
    }
)
NEUTRAL_RATING, RATING_REACH = 3.0, 1.0
LEXICON_REACH = 2.5
# AFINN's whole numbers are a little greater than VADER's means.
AFINN_STEP = 0.8
LEAST_VALENCE = 0.3


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Texts with their fine labels, a row of zeros and ones each, and the same by Ekman."""

    texts: list[str]
    fine: Floats
    labels: Floats


@dataclass(frozen=True, kw_only=True)
class Rated:
    """Texts with valence, arousal and dominance about 0."""

    texts: list[str]
    axes: Floats


def read_text(folder: Path, name: str) -> str:
    """A file's text; of `NAME.zst` where the plain file isn't there, by the program `zstd`."""
    plain, packed = folder / name, folder / f"{name}.zst"
    if plain.exists():
        return plain.read_text(encoding="utf-8")
    if not packed.exists():
        raise FileNotFoundError(
            f"neither {plain} nor {packed} is there; --data names the directory that holds "
            "goemotions/, emobank/ and lexicons/"
        )
    done = subprocess.run(["zstd", "-dcq", str(packed)], check=True, capture_output=True)
    return done.stdout.decode()


def read_goemotions(folder: Path, split: str) -> Labelled:
    """One split of GoEmotions: lines of text, label numbers and id."""
    names = read_text(folder, "labels.txt").split()
    rows = [line.split("\t") for line in read_text(folder, f"{split}.tsv").split("\n") if line]
    fine = np.zeros((len(rows), len(names)), np.float32)
    for row, (_, numbers, _) in enumerate(rows):
        fine[row, [int(number) for number in numbers.split(",")]] = 1.0
    labels = (fine @ grouping(names) > 0).astype(np.float32)
    return Labelled(texts=[text for text, _, _ in rows], fine=fine, labels=labels)


def grouping(names: list[str]) -> Floats:
    """Which of `LABELS` each fine label belongs to: one 1 in each row.

    >>> grouping(["grief", "neutral"]).tolist()
    [[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    group_of = {name: label for label, group in GROUPS.items() for name in group.split()}
    rows = np.zeros((len(names), len(LABELS)), np.float32)
    for row, name in enumerate(names):
        rows[row, LABELS.index(group_of[name])] = 1.0
    return rows


def read_emobank(folder: Path, split: str) -> Rated:
    """One official split of EmoBank; its ratings are 1 to 5."""
    lines = csv.DictReader(io.StringIO(read_text(folder, "emobank.csv")))
    rows = [row for row in lines if row["split"] == split]
    ratings = np.array([[float(row[axis]) for axis in "VAD"] for row in rows], np.float32)
    axes = (ratings - NEUTRAL_RATING) / RATING_REACH
    return Rated(texts=[row["text"] for row in rows], axes=axes.astype(np.float32))


def read_lexicon(folder: Path) -> Rated:
    """VADER's words; they rate valence alone."""
    rows = list(_lexicon_rows(read_text(folder, "vader_lexicon.txt")))
    axes = np.full((len(rows), 3), np.nan, np.float32)
    axes[:, 0] = [valence / LEXICON_REACH for _, valence in rows]
    return Rated(texts=[word for word, _ in rows], axes=axes)


def _lexicon_rows(content: str) -> Iterator[tuple[str, float]]:
    for line in filter(str.strip, content.split("\n")):
        word, valence, *_ = line.split("\t")
        yield word, float(valence)


def read_valences(folder: Path) -> dict[str, int]:
    """How good single words are, in halves from -8 to 8: by VADER, and else by AFINN."""
    rated = {word: AFINN_STEP * valence for word, valence in _afinn_rows(folder)}
    for word, valence in _lexicon_rows(read_text(folder, "vader_lexicon.txt")):
        rated[word.lower()] = valence
    return {
        word: round(2 * valence)
        for word, valence in sorted(rated.items())
        if words_and_marks(word) == [word] and abs(valence) >= LEAST_VALENCE
    }


def _afinn_rows(folder: Path) -> Iterator[tuple[str, float]]:
    for line in filter(None, read_text(folder, "AFINN-en-165.txt").split("\n")):
        word, valence = line.rsplit("\t", 1)
        yield word, float(valence)
