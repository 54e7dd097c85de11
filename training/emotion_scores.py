"""How good a classifier of emotions is, and how its chances are made true."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import thread_time

import numpy as np
from numpy.typing import NDArray

from domain.emotion import LABELS, TextEmotion
from training.emotion_data import Labelled, Rated
from training.emotion_graph import Floats

Mask = NDArray[np.bool_]

CANDIDATES = np.linspace(0.05, 0.9, 171)
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the card tells; milliseconds are those that a text costs one core."""

    texts: int
    macro_f1: float
    f1: Mapping[str, float]
    single_label_texts: int
    single_label_macro_f1: float
    single_label_accuracy: float
    calibration_error: float
    vad_correlation: tuple[float, ...]
    milliseconds_p50: float
    milliseconds_p99: float


def score(
    classify: Callable[[str], TextEmotion | None], labelled: Labelled, rated: Rated
) -> Scores:
    """Run a classifier over texts with answers."""
    read, spent = [], []
    for text in labelled.texts:
        begin = thread_time()
        read.append(classify(text))
        spent.append(1e3 * (thread_time() - begin))
    right = labelled.labels > 0
    each = f1_scores(_rows([one.named if one else () for one in read]), right)
    single = right.sum(1) == 1
    chosen = _rows([(one.label,) if one else ("neutral",) for one in read])[single]
    hits = (chosen & right[single]).any(1)
    confidence = np.array([one.confidence if one else 0.0 for one in read])
    return Scores(
        texts=len(read),
        macro_f1=_told(each.mean()),
        f1={label: _told(value) for label, value in zip(LABELS, each, strict=True)},
        single_label_texts=int(single.sum()),
        single_label_macro_f1=_told(f1_scores(chosen, right[single]).mean()),
        single_label_accuracy=_told(hits.mean()),
        calibration_error=_told(
            calibration_error(confidence, (_rows_of_labels(read) & right).any(1))
        ),
        vad_correlation=_correlations(classify, rated),
        milliseconds_p50=_told(float(np.quantile(spent, 0.5))),
        milliseconds_p99=_told(float(np.quantile(spent, 0.99))),
    )


def _rows(named: list[tuple[str, ...]]) -> Mask:
    return np.array([[label in names for label in LABELS] for names in named])


def _rows_of_labels(read: list[TextEmotion | None]) -> Mask:
    return _rows([(one.label,) if one else () for one in read])


def _told(value: float) -> float:
    return round(float(value), 4)


def _correlations(classify: Callable[[str], TextEmotion | None], rated: Rated) -> tuple[float, ...]:
    read = [classify(text) for text in rated.texts]
    told = np.array(
        [(one.valence, one.arousal, one.dominance) if one else (0, 0, 0) for one in read]
    )
    return tuple(_told(np.corrcoef(told[:, at], rated.axes[:, at])[0, 1]) for at in range(3))


def f1_scores(told: Mask, right: Mask) -> Floats:
    """F1 of each column; 0 where nothing was told and nothing is right.

    >>> f1_scores(np.array([[True], [True]]), np.array([[True], [False]])).round(3)
    array([0.667], dtype=float32)
    """
    both = (told & right).sum(0)
    return np.asarray(2 * both / np.maximum(told.sum(0) + right.sum(0), 1), np.float32)


def best_thresholds(chances: Floats, right: Mask) -> Floats:
    """For each column the threshold of the greatest F1; of equal ones the middle.

    >>> best_thresholds(np.array([[0.2], [0.8]], np.float32), np.array([[False], [True]])).round(2)
    array([0.5], dtype=float32)
    """
    scores = np.array([f1_scores(chances >= one, right) for one in CANDIDATES])
    smooth = np.array([_smoothed(column) for column in scores.T])
    return np.array(
        [CANDIDATES[column >= column.max() - 1e-9].mean() for column in smooth], np.float32
    )


def _smoothed(column: Floats) -> Floats:
    """Means of five neighbours: a peak of chance alone isn't the best place."""
    padded = np.pad(column, 2, mode="edge")
    return np.asarray(np.convolve(padded, np.ones(5) / 5, mode="valid"), np.float32)


def calibration(logits: Floats, right: Mask, *, rounds: int = 30) -> tuple[Floats, Floats]:
    """Slopes [part, label] and offsets [label] that blend logits [text, part, label].

    A logistic regression for each label: chances are then as often right as they say (Platt).

    >>> logits = np.array([[[-2.0]], [[-2.0]], [[2.0]], [[2.0]]] * 50, np.float32)
    >>> slopes, offsets = calibration(logits, np.array([[False], [True], [True], [False]] * 50))
    >>> abs(float(slopes[0, 0])) < 0.01
    True
    """
    fitted = [_fit(logits[:, :, at], right[:, at], rounds) for at in range(logits.shape[2])]
    found = np.array(fitted, np.float32).T
    return found[:-1], found[-1]


def _fit(logits: Floats, right: NDArray[np.bool_], rounds: int) -> NDArray[np.float64]:
    """Newton's method on the log likelihood, from no knowledge and by steps that can't run away."""
    design = np.column_stack([logits, np.ones(len(logits))]).astype(np.float64)
    found = np.zeros(design.shape[1])
    for _ in range(rounds):
        chance = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (right - chance)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curve + 1e-6 * np.eye(len(found)), slope)
        found = found + np.clip(step, -1.0, 1.0)
    return found


def calibration_error(confidence: NDArray[np.float64], right: Mask) -> float:
    """How far confidence is from being right, on average over ten bins.

    >>> calibration_error(np.array([0.95, 0.95]), np.array([True, False])).__round__(2)
    0.45
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    error = 0.0
    for one in range(BINS):
        inside = bins == one
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return float(error)
