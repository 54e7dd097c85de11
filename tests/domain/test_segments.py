from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.segments import (
    CONTEXT_DIM,
    DAYPARTS,
    DEVICES,
    EMOTIONS,
    FEATURES,
    HOUR_MS,
    LAYOUT_VERSION,
    MINUTE_MS,
    Emotion,
    Situation,
    context_features,
    segment_of,
)

MONDAY_MS = 1_700_438_400_000
"""2023-11-20, 00:00 UTC."""

words = st.none() | st.text(max_size=8) | st.sampled_from(["mobile", "home", "feed", "US"])
counts = st.integers(0, 10**9)
instants = st.integers(0, 4_102_444_800_000)
shares = st.floats(-1, 1)

situations = st.builds(
    Situation,
    at_ms=instants,
    utc_offset_ms=st.integers(-14, 14).map(lambda hours: hours * HOUR_MS),
    device=words,
    country=words,
    region=words,
    page_type=words,
    placement=words,
    top_category=words,
    session_interactions=counts,
    session_start_ms=st.none() | instants,
    views_5m=counts,
    clicks_5m=counts,
    events_1h=counts,
    events_24h=counts,
    interactions=counts,
    last_event_ms=st.none() | instants,
    cold=st.booleans(),
    emotion=st.none()
    | st.builds(Emotion, valence=shares, arousal=shares, dominance=shares, frustration=shares),
)


def named(situation: Situation) -> dict[str, float]:
    """The features that are not 0, by name."""
    pairs = zip(FEATURES, context_features(situation), strict=True)
    return {name: value for name, value in pairs if value}


@pytest.mark.parametrize(
    ("hour", "offset_h", "device", "country", "segment"),
    [
        (19, 0, "mobile", "US", "mobile_us_evening"),
        (23, 2, "mobile", "de", "mobile_de_night"),
        (5, 0, "desktop", "GB", "desktop_gb_night"),
        (6, 0, "tablet", "FR", "tablet_fr_morning"),
        (12, 0, "tv", None, "tv_xx_afternoon"),
        (17, 0, None, "Germany", "unknown_xx_afternoon"),
        (18, 0, "toaster", "a:", "unknown_xx_evening"),
        (18, 0, "toaster", "ßß", "unknown_xx_evening"),
    ],
)
def test_a_segment_is_device_country_and_part_of_the_day(
    hour: int, offset_h: int, device: str | None, country: str | None, segment: str
) -> None:
    situation = Situation(
        at_ms=MONDAY_MS + hour * HOUR_MS,
        utc_offset_ms=offset_h * HOUR_MS,
        device=device,
        country=country,
    )
    assert segment_of(situation) == segment


@given(situations)
def test_segments_are_few_and_can_stand_in_a_key(situation: Situation) -> None:
    device, country, daypart = segment_of(situation).split("_")
    assert device in {*DEVICES, "unknown"}
    assert daypart in DAYPARTS
    assert len(country) == 2
    assert country.isalpha()
    assert country.isascii()
    assert ":" not in segment_of(situation)


@given(situations)
def test_features_are_64_numbers_between_minus_one_and_one(situation: Situation) -> None:
    features = context_features(situation)
    assert len(features) == CONTEXT_DIM
    assert all(-1.0 <= value <= 1.0 for value in features)
    assert features == context_features(replace(situation))


def test_a_shopper_in_the_evening() -> None:
    situation = Situation(
        at_ms=MONDAY_MS + 18 * HOUR_MS,
        device="mobile",
        country="US",
        region="CA",
        page_type="home",
        placement="feed",
        top_category="mugs",
        session_interactions=9,
        session_start_ms=MONDAY_MS + 17 * HOUR_MS,
        views_5m=4,
        clicks_5m=1,
        events_1h=20,
        events_24h=99,
        interactions=9_999,
        last_event_ms=MONDAY_MS + 17 * HOUR_MS,
        emotion=Emotion(valence=0.5, arousal=-0.25, dominance=0.125, frustration=1.0),
    )
    found = named(situation)
    hashed = {name: value for name, value in found.items() if name[-1].isdigit()}
    assert hashed == {"country_0": 1.0, "region_2": -1.0, "category_1": -1.0}
    plain = {name: round(value, 3) for name, value in found.items() if name not in hashed}
    assert plain == {
        "bias": 1.0,
        "device_mobile": 1.0,
        "page_home": 1.0,
        "placement_feed": 1.0,
        "hour_sin": -1.0,
        "hour_cos": -0.0,
        "weekday_cos": 1.0,
        "daypart_evening": 1.0,
        "session_length": 0.499,
        "session_age": 0.25,
        "views_5m": 0.349,
        "clicks_5m": 0.15,
        "events_1h": 0.441,
        "events_24h": 0.667,
        "interactions": 1.0,
        "ctr_5m": 0.25,
        "velocity": 0.5,
        "recency": 0.5,
        "valence": 0.5,
        "arousal": -0.25,
        "dominance": 0.125,
        "frustration": 1.0,
        "emotion_known": 1.0,
    }


def test_of_somebody_unknown_only_time_is_known() -> None:
    found = named(Situation(at_ms=MONDAY_MS + 5 * 24 * HOUR_MS, cold=True))
    assert set(found) == {
        *("bias", "device_unknown", "hour_cos", "weekday_sin", "weekday_cos", "weekend"),
        *("daypart_night", "cold"),
    }


def test_other_pages_and_places_have_a_name_together() -> None:
    found = named(Situation(at_ms=MONDAY_MS, page_type="blog", placement="footer"))
    assert {"page_other", "placement_other"} <= set(found)


def test_a_slow_hour_has_a_negative_velocity() -> None:
    assert named(Situation(at_ms=MONDAY_MS, events_1h=5))["velocity"] == -1.0
    steady = Situation(at_ms=MONDAY_MS, views_5m=1, events_1h=12)
    assert "velocity" not in named(steady)


def test_feelings_that_are_not_known_are_not_calm() -> None:
    unknown, calm = Situation(at_ms=0), Situation(at_ms=0, emotion=Emotion())
    assert named(calm) == {**named(unknown), "emotion_known": 1.0}


def test_the_layout_keeps_its_places_for_ever() -> None:
    """A new feature takes a reserved place; a place that moves would spoil every stored weight."""
    assert LAYOUT_VERSION == 1
    assert FEATURES[:6] == (
        *("bias", "device_mobile", "device_desktop", "device_tablet", "device_tv"),
        "device_unknown",
    )
    assert FEATURES[6:17] == (
        *("page_home", "page_search", "page_category", "page_item_detail", "page_cart"),
        *("page_other", "placement_hero", "placement_feed", "placement_sidebar"),
        *("placement_related", "placement_other"),
    )
    assert FEATURES[17:26] == (
        *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "weekend"),
        *(f"daypart_{part}" for part in ("night", "morning", "afternoon", "evening")),
    )
    assert FEATURES[26] == "country_0"
    assert FEATURES[34] == "region_0"
    assert FEATURES[38] == "category_0"
    assert FEATURES[44:55] == (
        *("session_length", "session_age", "views_5m", "clicks_5m", "events_1h", "events_24h"),
        *("interactions", "ctr_5m", "velocity", "recency", "cold"),
    )
    assert FEATURES[55:60] == (*EMOTIONS, "emotion_known")
    assert FEATURES[60:] == ("reserved_60", "reserved_61", "reserved_62", "reserved_63")
    assert len(set(FEATURES)) == CONTEXT_DIM


def test_a_session_that_begins_later_by_another_clock_has_no_age() -> None:
    ahead = Situation(at_ms=MONDAY_MS, session_start_ms=MONDAY_MS + MINUTE_MS)
    assert "session_age" not in named(ahead)
