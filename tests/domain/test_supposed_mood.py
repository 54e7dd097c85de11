import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.emotion import EmotionState, ScrollBehavior, mood_at
from domain.supposed_mood import pace_of, state_of

BEHAVIORS: tuple[ScrollBehavior, ...] = ("browsing", "searching", "deciding")
sides = st.floats(-1, 1)


@given(
    valence=sides,
    arousal=sides,
    dominance=sides,
    frustration=st.floats(0, 0.99),
    velocity=st.floats(0, 600),
    behavior=st.sampled_from(BEHAVIORS),
    at_ms=st.integers(0, 4_000_000_000_000),
)
def test_the_state_has_the_mood_that_was_wanted(
    valence: float,
    arousal: float,
    dominance: float,
    frustration: float,
    velocity: float,
    behavior: ScrollBehavior,
    at_ms: int,
) -> None:
    made = state_of(
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        frustration=frustration,
        velocity=velocity,
        behavior=behavior,
        at_ms=at_ms,
    )
    mood = mood_at(EmotionState.from_bytes(made.to_bytes()), at_ms=at_ms)
    assert mood.sentiment_score == pytest.approx(valence, abs=1e-6)
    assert (mood.arousal, mood.dominance) == pytest.approx((arousal, dominance), abs=1e-3)
    assert mood.frustration_score == pytest.approx(frustration, abs=2e-3)
    assert mood.engagement_velocity == pytest.approx(velocity, rel=2e-3, abs=0.02)
    assert mood.scroll_behavior == behavior
    assert pace_of(mood) == (mood.engagement_velocity, behavior)
