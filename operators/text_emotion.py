"""Reads the emotion of a text with the classifier that ships with the project.

Runs on one thread of a CPU and waits for nothing, so a fold calls it where it stands. The file says
itself how good some words are, in which order its labels come, and from which chance on a label is
named.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from domain.emotion import LABELS, TextEmotion
from domain.emotion_text import Read, Reader

MODEL_FILE = Path(__file__).parent.parent / "serving/models/emotion/1/model.onnx"
CACHED_TEXTS = 4_096


class EmotionModelError(Exception):
    """The file can't be used as the emotion classifier."""


class TextClassifier:
    """Texts in, emotions out, one at a time; the last ones are remembered."""

    def __init__(self, file: Path = MODEL_FILE, *, cached_texts: int = CACHED_TEXTS) -> None:
        self._session = _session(file)
        told = self._session.get_modelmeta().custom_metadata_map
        if told.get("labels", "").split(",") != list(LABELS):
            raise EmotionModelError(
                f"{file} has labels {told.get('labels')!r}, expected {','.join(LABELS)!r}; "
                "make it with python -m training.emotion"
            )
        self.release = told["release"]
        self._reader = Reader(valences_of(told["valences"]))
        self._thresholds = tuple(float(chance) for chance in told["thresholds"].split(","))
        self._remembered = lru_cache(cached_texts)(self._classify)

    def __call__(self, text: str) -> TextEmotion | None:
        """The emotion of a text, None where it has no word or sign."""
        return self._remembered(text)

    def _classify(self, text: str) -> TextEmotion | None:
        read = self._reader.read(text)
        if not read.words:
            return None
        chances, axes = self._session.run(["CHANCES", "VAD"], inputs_of(read))
        return emotion_of(chances, axes, thresholds=self._thresholds)


def inputs_of(read: Read) -> dict[str, NDArray[np.int64]]:
    """A text as the file takes it: a line for each word, filled up with 0.

    >>> inputs_of(Read([[5], [6, 7]], [8]))["WORDS"].tolist()
    [[5, 0], [6, 7]]
    """
    widest = max(map(len, read.words))
    words = [row + [0] * (widest - len(row)) for row in read.words]
    return {"WORDS": np.array(words, np.int64), "PHRASES": np.array(read.phrases, np.int64)}


def valences_of(told: str) -> Mapping[str, int]:
    r"""How good words are, from lines of a word and a number.

    >>> valences_of("good 4\nbad -5")
    {'good': 4, 'bad': -5}
    """
    pairs = (line.rsplit(" ", 1) for line in told.split("\n") if line)
    return {word: int(valence) for word, valence in pairs}


def emotion_of(
    chances: NDArray[np.float32], axes: NDArray[np.float32], *, thresholds: Sequence[float]
) -> TextEmotion:
    """What the numbers of a classifier say.

    The label is the one furthest above its own threshold: rare emotions have low ones.

    >>> chances = np.array([0.1, 0.05, 0.0, 0.6, 0.0, 0.05, 0.2], np.float32)
    >>> read = emotion_of(chances, np.zeros(3, np.float32), thresholds=[0.3] * 7)
    >>> read.label, read.named, round(read.confidence, 2)
    ('joy', ('joy',), 0.6)
    """
    told = [float(chance) for chance in chances]
    excess = [chance / threshold for chance, threshold in zip(told, thresholds, strict=True)]
    best = excess.index(max(excess))
    total = sum(told) or 1.0
    valence, arousal, dominance = (float(value) for value in axes)
    return TextEmotion(
        label=LABELS[best],
        named=tuple(label for label, over in zip(LABELS, excess, strict=True) if over >= 1.0),
        shares=tuple(chance / total for chance in told),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        confidence=told[best],
    )


def _session(file: Path) -> onnxruntime.InferenceSession:
    if not file.exists():
        raise EmotionModelError(f"{file} isn't there; make it with python -m training.emotion")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
