from typing import Any

import pytest

from domain.emotion import EmotionState, feel, mood_at
from domain.ranking_features import Activity
from domain.segments import (
    HOUR_MS,
    MINUTE_MS,
    Emotion,
    Situation,
    context_features,
    segment_of,
)
from domain.taste import Taste
from schemas.types import UserEvent
from serving.situation import situation_of
from serving.stages.context import Known
from tests.serving.pretended import NOW_MS, admitted, known_user

ACTIVITY = Activity(
    views_5min=4,
    clicks_5min=2,
    events_1h=9,
    events_24h=30,
    interactions=77,
    last_event_ms=NOW_MS - MINUTE_MS,
)


def known(**fields: Any) -> Known:
    view = known_user(
        **{
            "device_type": "tablet",
            "country": "FR",
            "session_id": "s1",
            "session_start_ms": NOW_MS - HOUR_MS,
            "session_interactions": 12,
            **fields,
        }
    )
    shares = {"mugs": 0.5, "lamps": 0.5, "pens": 0.0}
    return Known(view=view, activity=ACTIVITY, taste=Taste(category_share=shares))


def test_what_the_request_says_comes_before_what_is_known() -> None:
    request = {
        "session_id": "s1",
        "context": {
            "page_type": "home",
            "placement": "feed",
            "device": "mobile",
            "geo": {"country": "US", "region": "CA"},
        },
    }
    assert situation_of(admitted(request), known()) == Situation(
        at_ms=NOW_MS,
        device="mobile",
        country="US",
        region="CA",
        page_type="home",
        placement="feed",
        top_category="mugs",
        session_interactions=12,
        session_start_ms=NOW_MS - HOUR_MS,
        views_5m=4,
        clicks_5m=2,
        events_1h=9,
        events_24h=30,
        interactions=77,
        last_event_ms=NOW_MS - MINUTE_MS,
    )


def test_what_it_leaves_out_is_taken_from_what_is_known() -> None:
    situation = situation_of(admitted(), known())
    assert (situation.device, situation.country) == ("tablet", "FR")
    assert segment_of(situation) == "tablet_fr_morning"


def test_of_a_user_who_does_not_consent_nothing_known_is_used() -> None:
    view = known(consent=False, emotion=pleased().to_bytes()).view
    situation = situation_of(admitted(), Known(view=view))
    assert situation == Situation(at_ms=NOW_MS, cold=True)


@pytest.mark.parametrize(
    ("request_session", "known_session", "silent_ms", "interactions"),
    [
        ("s1", "s1", 2 * HOUR_MS, 12),
        ("s2", "s1", 0, 0),
        (None, "s1", 30 * MINUTE_MS, 12),
        (None, "s1", 31 * MINUTE_MS, 0),
        ("s2", None, 30 * MINUTE_MS, 12),
    ],
)
def test_a_visit_counts_only_while_it_goes_on(
    request_session: str | None, known_session: str | None, silent_ms: int, interactions: int
) -> None:
    asked = admitted({"session_id": request_session} if request_session else {})
    seen = known(session_id=known_session, timestamp_ms=NOW_MS - silent_ms)
    situation = situation_of(asked, seen)
    assert situation.session_interactions == interactions
    assert situation.session_start_ms == (NOW_MS - HOUR_MS if interactions else None)


def test_the_part_of_the_day_is_the_users_own() -> None:
    asked = admitted({"context": {"timestamp": "2026-01-29T22:30:00+09:00"}})
    situation = situation_of(asked, known())
    assert situation.utc_offset_ms == 9 * HOUR_MS
    assert segment_of(situation) == "tablet_fr_evening"
    assert len(context_features(situation)) == 64


def pleased() -> EmotionState:
    """Somebody who liked something a minute ago."""
    state = EmotionState()
    like = UserEvent(
        event_id="e1", user_id="u1", event_type="like", timestamp_ms=NOW_MS - MINUTE_MS
    )
    feel(state, event=like, text=None, timestamp_ms=like.timestamp_ms)
    return state


def test_how_the_user_feels_is_as_of_the_request() -> None:
    situation = situation_of(admitted(), known(emotion=pleased().to_bytes()))
    mood = mood_at(pleased(), at_ms=NOW_MS)
    assert mood.valence > 0.1
    assert situation.emotion == Emotion(
        valence=mood.valence,
        arousal=mood.arousal,
        dominance=mood.dominance,
        frustration=mood.frustration_score,
    )


def test_feelings_that_cannot_be_read_are_not_known() -> None:
    assert situation_of(admitted(), known(emotion=b"\x63")).emotion is None
