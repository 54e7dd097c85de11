"""Reads the emotion of a text with the classifier that ships with the project.

Runs on one thread of a CPU and waits for nothing, so a fold calls it where it stands. The file says
itself which pieces of words it knows, in which order its labels come, and from which chance on a
label is named.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from domain.emotion import LABELS, TextEmotion
from domain.emotion_text import Vocabulary

MODEL_FILE = Path(__file__).parent.parent / "serving/models/emotion/1/model.onnx"
CACHED_TEXTS = 4_096
# A text without a piece is only framed, and says nothing.
FRAME = 2


class EmotionModelError(Exception):
    """The file can't be used as the emotion classifier."""


class TextClassifier:
    """Texts in, emotions out; the last texts are remembered.

    Reading is a pure function of the text: the model gets one text at a time, because what it
    computes is rounded by the greatest number in a run, and would differ a little in company.
    """

    def __init__(self, file: Path = MODEL_FILE, *, cached_texts: int = CACHED_TEXTS) -> None:
        self._session = _session(file)
        told = self._session.get_modelmeta().custom_metadata_map
        if told.get("labels", "").split(",") != list(LABELS):
            raise EmotionModelError(
                f"{file} has labels {told.get('labels')!r}, expected {','.join(LABELS)!r}; "
                "make it with python -m training.emotion"
            )
        self.release = told["release"]
        self._pieces = Vocabulary(told["pieces"].split("\n"))
        self._thresholds = tuple(float(chance) for chance in told["thresholds"].split(","))
        self._remembered = lru_cache(cached_texts)(self._classify)

    def __call__(self, text: str) -> TextEmotion | None:
        """The emotion of a text, None where it has no word or sign."""
        return self._remembered(text)

    def _classify(self, text: str) -> TextEmotion | None:
        numbers = self._pieces.encode(text)
        if len(numbers) <= FRAME:
            return None
        chances, axes = self._session.run(
            ["CHANCES", "VAD"], {"PIECES": np.array([numbers], np.int64)}
        )
        return emotion_of(chances[0], axes[0], thresholds=self._thresholds)


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
