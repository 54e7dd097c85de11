"""An emotional state that gives a wanted mood: to ask what another mood would have changed."""

from math import log
from typing import Any

from domain.emotion import (
    PER_MINUTE,
    PERIOD_MS,
    EmotionState,
    Mood,
    ScrollBehavior,
)

# Pace is kept apart by what was done; without any, nothing tells searching from browsing.
LEAST_PACE = 0.01
# Complete frustration is never reached by sums.
MOST_FRUSTRATION = 0.99


def state_of(
    *,
    valence: float,
    arousal: float,
    dominance: float,
    frustration: float,
    velocity: float,
    behavior: ScrollBehavior,
    at_ms: int,
) -> EmotionState:
    """A state whose mood at a time is the wanted one, as exactly as states are stored.

    >>> from domain.emotion import mood_at
    >>> state = state_of(valence=-0.5, arousal=0.25, dominance=0.0, frustration=0.6, velocity=8.0,
    ...     behavior="deciding", at_ms=1_000)
    >>> mood = mood_at(EmotionState.from_bytes(state.to_bytes()), at_ms=1_000)
    >>> mood.sentiment_score, round(mood.frustration_score, 2), mood.scroll_behavior
    (-0.5, 0.6, 'deciding')
    """
    pace = max(velocity, 0.0 if behavior == "browsing" else LEAST_PACE) / PER_MINUTE
    paces: dict[str, Any] = {behavior: pace}
    return EmotionState(
        # A state that begins after the time doesn't fade until then; without weight, half of
        # nothing is believed, so that the sums are the mood.
        period=max(0, at_ms // PERIOD_MS + 1),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        frustration=-log(1.0 - min(MOST_FRUSTRATION, frustration)),
        **paces,
    )


def pace_of(mood: Mood | None) -> tuple[float, ScrollBehavior]:
    """How fast somebody goes, and at what; of whom nothing is known, not at all.

    >>> pace_of(None)
    (0.0, 'browsing')
    """
    return (0.0, "browsing") if mood is None else (mood.engagement_velocity, mood.scroll_behavior)
