"""The card that stands beside the emotion classifier: what it is, was made of, and can't do."""

from collections.abc import Mapping
from pathlib import Path

from training.emotion_scores import Scores

TEMPLATE = Path(__file__).with_suffix(".txt")


def card(scores: Scores, *, size: int) -> str:
    """The card of a file of `size` bytes."""
    valence, arousal, dominance = scores.vad_correlation
    return TEMPLATE.read_text(encoding="utf-8").format(
        megabytes=size / 1e6,
        rows=_rows(scores.f1),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        texts=scores.texts,
        macro_f1=scores.macro_f1,
        single_label_texts=scores.single_label_texts,
        single_label_macro_f1=scores.single_label_macro_f1,
        single_label_accuracy=scores.single_label_accuracy,
        calibration_error=scores.calibration_error,
        milliseconds_p50=scores.milliseconds_p50,
        milliseconds_p99=scores.milliseconds_p99,
    )


def _rows(f1: Mapping[str, float]) -> str:
    return "\n".join(f"| {label} | {value:.3f} |" for label, value in f1.items())
