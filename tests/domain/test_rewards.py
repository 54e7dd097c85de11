from typing import Any

import pytest

from domain.rewards import reward_of
from schemas.types import UserEvent


def event(kind: Any, **more: Any) -> UserEvent:
    return UserEvent(event_id="e", user_id="u", event_type=kind, timestamp_ms=0, **more)


@pytest.mark.parametrize(
    ("kind", "reward"),
    [
        ("purchase", 1.0),
        ("share", 0.6),
        ("add_to_cart", 0.5),
        ("like", 0.5),
        ("review", 0.4),
        ("click", 0.3),
        ("skip", 0.0),
        ("dismiss", 0.0),
        ("scroll", None),
        ("search", None),
        ("erase", None),
        ("explicit_feedback", None),
    ],
)
def test_what_each_action_is_worth(kind: str, reward: float | None) -> None:
    assert reward_of(event(kind)) == reward


@pytest.mark.parametrize("kind", ["view", "dwell"])
@pytest.mark.parametrize(("duration_ms", "reward"), [(None, None), (30_000, None), (30_001, 0.2)])
def test_a_look_counts_only_if_it_lasts(
    kind: str, duration_ms: int | None, reward: float | None
) -> None:
    assert reward_of(event(kind, duration_ms=duration_ms)) == reward


@pytest.mark.parametrize(
    ("stated", "reward"), [(0.8, 0.8), (0.0, 0.0), (7.0, 1.0), (-1.0, 0.0), (float("nan"), 0.3)]
)
def test_a_stated_reward_wins_and_is_clipped(stated: float, reward: float) -> None:
    assert reward_of(event("click", reward_override=stated)) == reward


def test_a_stated_reward_makes_any_event_a_reaction() -> None:
    assert reward_of(event("explicit_feedback", reward_override=0.9)) == 0.9
