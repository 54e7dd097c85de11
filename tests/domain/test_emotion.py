from math import exp, log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import emotion
from domain.emotion import (
    DOUBT,
    FEELING_HALF_LIFE_MS,
    FELT,
    FRUSTRATION_HALF_LIFE_MS,
    LABELS,
    MINUTE_MS,
    PACE_HALF_LIFE_MS,
    PERIOD_MS,
    PROTOTYPES,
    RULES,
    EmotionState,
    EmotionStateError,
    Label,
    Mood,
    TextEmotion,
    feel,
    mood_at,
)
from schemas.types import EventType, SignalPayload, UserEvent

GOLDEN = Path(__file__).parent / "golden" / "emotion_v1.bin"
NOON_MS = 1_700_049_600_000  # 2023-11-15 12:00 UTC


def event(event_type: EventType, at_ms: int = NOON_MS, **rest: Any) -> UserEvent:
    return UserEvent(
        event_id=f"e{at_ms}", user_id="u1", event_type=event_type, timestamp_ms=at_ms, **rest
    )


def text(label: Label, *, confidence: float = 0.8) -> TextEmotion:
    valence, arousal, dominance = PROTOTYPES[label]
    rest = (1 - confidence) / (len(LABELS) - 1)
    return TextEmotion(
        label=label,
        named=(label,),
        shares=tuple(confidence if one == label else rest for one in LABELS),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        confidence=confidence,
    )


def felt(*events: UserEvent, read: TextEmotion | None = None) -> EmotionState:
    state = EmotionState()
    for one in events:
        feel(state, event=one, text=read, timestamp_ms=one.timestamp_ms)
    return state


def mood_after(*events: UserEvent, read: TextEmotion | None = None) -> Mood:
    latest = max(one.timestamp_ms for one in events)
    return mood_at(felt(*events, read=read), at_ms=latest)


RULE_EVENTS: dict[str, UserEvent] = {
    "purchase": event("purchase"),
    "like": event("like"),
    "share": event("share"),
    "add_to_cart": event("add_to_cart"),
    "long_look": event("dwell", duration_ms=20_000),
    "short_look": event("view", duration_ms=1_999),
    "skip": event("skip"),
    "dismiss": event("dismiss"),
}


@pytest.mark.parametrize("name", RULE_EVENTS)
def test_a_rule_moves_the_mood_as_its_row_says(name: str) -> None:
    rule, mood = RULES[name], mood_after(RULE_EVENTS[name])
    believed = rule.weight / (rule.weight + DOUBT)
    assert mood.valence == pytest.approx(believed * rule.valence, abs=1e-3)
    assert mood.arousal == pytest.approx(believed * rule.arousal, abs=1e-3)
    assert mood.dominance == pytest.approx(believed * rule.dominance, abs=1e-3)
    assert mood.frustration_score == pytest.approx(1 - exp(-max(0, rule.frustration)), abs=1e-3)
    assert mood.sentiment_score == mood.valence


def test_every_rule_has_a_test() -> None:
    assert set(RULE_EVENTS) | {"burst"} == set(RULES)


def test_the_third_quick_click_on_the_same_thing_is_a_burst() -> None:
    clicks = [event("click", NOON_MS + 500 * n, item_id="i1") for n in range(3)]
    assert mood_after(*clicks[:2]).frustration_score == 0
    mood = mood_after(*clicks)
    assert mood.frustration_score == pytest.approx(1 - exp(-0.35), abs=1e-3)
    assert mood.valence < -0.1
    assert mood.arousal > 0.2


def test_each_further_click_of_a_burst_adds_frustration() -> None:
    clicks = [event("click", NOON_MS + 300 * n, item_id="i1") for n in range(6)]
    assert mood_after(*clicks).frustration_score == pytest.approx(1 - exp(-4 * 0.35), abs=0.01)


@pytest.mark.parametrize(
    "clicks",
    [
        [event("click", NOON_MS + 2_200 * n, item_id="i1") for n in range(5)],
        [event("click", NOON_MS + 300 * n, item_id=f"i{n}") for n in range(5)],
    ],
    ids=["slow", "on different things"],
)
def test_other_clicks_are_no_burst(clicks: list[UserEvent]) -> None:
    assert mood_after(*clicks).frustration_score == 0


def test_a_late_click_is_no_part_of_a_burst() -> None:
    clicks = [event("click", NOON_MS + at, item_id="i1") for at in (0, 1_000, 500)]
    assert mood_after(*clicks).frustration_score == 0


def test_a_burst_goes_on_over_the_end_of_a_period() -> None:
    end = (NOON_MS // PERIOD_MS + 1) * PERIOD_MS
    clicks = [event("click", end + at, item_id="i1") for at in (-800, -300, 200)]
    assert mood_after(*clicks).frustration_score > 0.2


def test_buttons_without_an_item_burst_by_page() -> None:
    clicks = [event("click", NOON_MS + 300 * n, page_type="checkout") for n in range(3)]
    assert mood_after(*clicks).frustration_score > 0.2
    pages = [event("click", NOON_MS + 300 * n, page_type=f"page {n}") for n in range(3)]
    assert mood_after(*pages).frustration_score == 0


@pytest.mark.parametrize(
    "one", [event("view", duration_ms=5_000), event("view"), event("scroll"), event("search")]
)
def test_ordinary_events_say_nothing_of_feelings(one: UserEvent) -> None:
    mood = mood_after(one)
    assert (mood.valence, mood.arousal, mood.label, mood.confidence) == (0, 0, "neutral", 0)
    assert mood.engagement_velocity == pytest.approx(log(2), rel=1e-2)


def test_an_item_consumed_counts_as_a_long_look() -> None:
    assert mood_after(event("view", duration_ms=500, completion_rate=0.9)).valence > 0


@pytest.mark.parametrize(("reward", "sign"), [(1.0, 1), (0.0, -1), (0.5, 0)])
def test_a_rating_says_how_good_it_was(reward: float, sign: int) -> None:
    mood = mood_after(event("explicit_feedback", reward_override=reward))
    assert mood.valence == pytest.approx(0.5 * sign, abs=1e-3)
    assert (mood.frustration_score > 0) == (sign < 0)


@pytest.mark.parametrize(("direction", "sign"), [("positive", 1), ("negative", -1)])
def test_a_preference_moves_a_little(direction: Any, sign: int) -> None:
    signal = SignalPayload(category="mugs", direction=direction, strength=1.0)
    mood = mood_after(event("preference_update", signal=signal))
    assert mood.valence == pytest.approx(sign * 0.25 / 1.5, abs=1e-3)


def test_an_emotional_shift_moves_all_three() -> None:
    signal = SignalPayload(sentiment_delta=-0.5, frustration_delta=0.4, velocity_change=6.0)
    mood = mood_after(event("emotional_shift", signal=signal))
    assert mood.sentiment_score == pytest.approx(-0.5, abs=1e-3)
    assert mood.frustration_score == pytest.approx(1 - exp(-0.4), abs=1e-3)
    assert mood.engagement_velocity == pytest.approx(6.0, rel=1e-2)


def test_a_shift_down_of_frustration_calms() -> None:
    dismissed = [event("dismiss", NOON_MS + n) for n in range(4)]
    calm = event("emotional_shift", NOON_MS + 10, signal=SignalPayload(frustration_delta=-0.5))
    before, after = mood_after(*dismissed), mood_after(*dismissed, calm)
    assert after.frustration_score < before.frustration_score


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_numbers_beyond_all_bounds_leave_a_mood_within_them(value: float) -> None:
    signal = SignalPayload(
        sentiment_delta=value, frustration_delta=value, velocity_change=value, strength=value
    )
    shift = event("emotional_shift", signal=signal)
    rated = event("review", NOON_MS + 1, reward_override=value)
    _assert_sound(mood_after(shift, rated))


def test_what_is_no_number_says_nothing() -> None:
    signal = SignalPayload(sentiment_delta=float("nan"), frustration_delta=float("inf"))
    mood = mood_after(event("emotional_shift", signal=signal))
    assert (mood.valence, mood.frustration_score, mood.confidence) == (0, 0, 0)


def test_at_night_people_are_calmer() -> None:
    night = NOON_MS + 13 * 60 * MINUTE_MS
    assert mood_after(event("view", night, context={"utc_offset_minutes": "0"})).arousal < 0
    assert mood_after(event("view", night, context={"utc_offset_minutes": "-360"})).arousal == 0
    assert mood_after(event("view", night, longitude=2.3)).arousal < 0
    assert mood_after(event("view", night, longitude=-120.0)).arousal == 0


@pytest.mark.parametrize("told", ["", "soon", "--5", "99999", "\u0662"])
def test_no_time_of_day_is_guessed(told: str) -> None:
    night = NOON_MS + 13 * 60 * MINUTE_MS
    mood = mood_after(event("view", night, context={"utc_offset_minutes": told}))
    assert mood.arousal == 0
    assert mood_after(event("view", night)).arousal == 0


@pytest.mark.parametrize("label", FELT)
def test_written_feelings_are_named(label: Label) -> None:
    reviews = [event("review", NOON_MS + n) for n in range(3)]
    assert mood_after(*reviews, read=text(label)).label == label


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=9))
def test_shares_of_all_labels_are_one_together(labels: list[Label]) -> None:
    state = EmotionState()
    for n, label in enumerate(labels):
        feel(state, event=event("review"), text=text(label), timestamp_ms=NOON_MS + n)
    shares = emotion._shares(state, 1 / (state.weight + DOUBT), (0.0, 0.0, 0.0))
    assert sum(shares.values()) == pytest.approx(1.0)


def test_an_angry_review_frustrates() -> None:
    assert mood_after(event("review"), read=text("anger")).frustration_score > 0.2
    assert mood_after(event("review"), read=text("joy")).frustration_score < 0.05


def test_an_unsure_reading_counts_little() -> None:
    sure = mood_after(event("review"), read=text("joy", confidence=0.9))
    unsure = mood_after(event("review"), read=text("joy", confidence=0.2))
    assert unsure.valence < sure.valence / 2
    assert unsure.label == "neutral"


def test_a_search_counts_less_than_a_review() -> None:
    searched = mood_after(event("search"), read=text("sadness"))
    assert mood_after(event("review"), read=text("sadness")).valence < searched.valence < 0


def test_text_of_other_events_is_not_read() -> None:
    assert mood_after(event("view"), read=text("joy")).valence == 0


def test_confidence_grows_with_evidence() -> None:
    likes = [event("like", NOON_MS + n) for n in range(8)]
    told = [mood_after(*likes[:count], read=None).confidence for count in range(1, 9)]
    joyful = [mood_after(*likes[:count]).label for count in range(1, 9)]
    assert joyful[-1] == "joy"
    assert told[-1] > told[-3]


@pytest.mark.parametrize("name", ["like", "dismiss"])
def test_a_mood_drifts_back_to_neutral(name: EventType) -> None:
    state = felt(*(event(name, NOON_MS + n) for n in range(6)))
    strength = [
        abs(mood_at(state, at_ms=NOON_MS + n * FEELING_HALF_LIFE_MS).valence) for n in range(12)
    ]
    assert strength == sorted(strength, reverse=True)
    assert strength[-1] < 0.01
    late = mood_at(state, at_ms=NOON_MS + 12 * FEELING_HALF_LIFE_MS)
    assert late.label == "neutral"
    assert late.confidence < 0.01


def test_frustration_fades_by_half_in_its_half_life() -> None:
    state = felt(event("dismiss"))
    later = mood_at(state, at_ms=NOON_MS + FRUSTRATION_HALF_LIFE_MS)
    assert later.frustration_score == pytest.approx(1 - exp(-0.1), abs=1e-3)


def test_a_steady_stream_has_its_rate() -> None:
    views = [event("view", NOON_MS + n * 10_000) for n in range(60)]
    assert mood_after(*views).engagement_velocity == pytest.approx(6.0, rel=0.1)
    later = mood_at(felt(*views), at_ms=views[-1].timestamp_ms + PACE_HALF_LIFE_MS)
    assert later.engagement_velocity == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(
    ("kinds", "behavior"),
    [
        (["view", "view", "scroll"], "browsing"),
        (["view", "search", "search"], "searching"),
        (["view", "search", "add_to_cart", "dwell"], "deciding"),
        (["view", "view", "view", "view", "dwell"], "browsing"),
        (["view", "view", "view", "search"], "browsing"),
    ],
)
def test_what_is_done_lately_names_the_way_of_scrolling(
    kinds: list[EventType], behavior: str
) -> None:
    events = [event(kind, NOON_MS + 1_000 * n) for n, kind in enumerate(kinds)]
    assert mood_after(*events).scroll_behavior == behavior


def test_nobody_is_neutral_for_sure() -> None:
    mood = mood_at(EmotionState(), at_ms=NOON_MS)
    assert (mood.label, mood.confidence, mood.scroll_behavior) == ("neutral", 0, "browsing")


# A burst is a matter of order, and so left out.
kinds = st.sampled_from(
    ["purchase", "like", "share", "add_to_cart", "skip", "dismiss", "view", "search", "review"]
)
moments = st.integers(NOON_MS, NOON_MS + 60 * MINUTE_MS)
lives = st.lists(st.tuples(kinds, moments), min_size=1, max_size=30)


@given(lives, st.randoms(use_true_random=False))
def test_the_order_of_events_changes_next_to_nothing(life: Any, chance: Any) -> None:
    events = [event(kind, at) for kind, at in life]
    shuffled = events[:]
    chance.shuffle(shuffled)
    one, other = mood_after(*events), mood_after(*shuffled)
    for name in ("valence", "arousal", "dominance", "frustration_score"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=0.01)
    assert one.engagement_velocity == pytest.approx(other.engagement_velocity, rel=0.05, abs=0.01)


@given(lives)
def test_sums_are_those_of_all_events_faded_one_by_one(life: Any) -> None:
    events = [event(kind, at) for kind, at in life]
    latest = max(at for _, at in life)
    weight = valence = frustration = 0.0
    for kind, at in life:
        rule = RULES.get(kind)
        if rule is not None:
            faded = rule.weight * 0.5 ** ((latest - at) / FEELING_HALF_LIFE_MS)
            weight, valence = weight + faded, valence + faded * rule.valence
            frustration += rule.frustration * 0.5 ** ((latest - at) / FRUSTRATION_HALF_LIFE_MS)
    mood = mood_after(*events)
    assert mood.valence == pytest.approx(valence / (weight + DOUBT), abs=1e-3)
    assert mood.frustration_score == pytest.approx(1 - exp(-max(0.0, frustration)), abs=0.02)


@given(st.lists(st.tuples(kinds, moments), min_size=2, max_size=20), st.integers(0, 19))
def test_a_state_stored_midway_goes_on_exactly_as_one_that_was_not(life: Any, cut: int) -> None:
    events = [event(kind, at, item_id="i1") for kind, at in life]
    kept = felt(*events)
    early = felt(*events[:cut]) if events[:cut] else EmotionState()
    stored = EmotionState.from_bytes(early.to_bytes())
    for one in events[cut:]:
        feel(stored, event=one, text=None, timestamp_ms=one.timestamp_ms)
    assert stored == kept
    assert EmotionState.from_bytes(kept.to_bytes()) == kept


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["click", "review", "dismiss", "purchase", "search", "emotional_shift"]
            ),
            st.integers(0, 4_102_444_800_000),
            st.sampled_from([None, *FELT]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_mood_is_within_its_bounds_whatever_happens(life: Any) -> None:
    state = EmotionState()
    for kind, at, label in life:
        read = text(label) if label else None
        feel(state, event=event(kind, at, item_id="i1"), text=read, timestamp_ms=at)
        assert len(state.to_bytes()) == 40
    for at in (0, life[-1][1], 4_102_444_800_000):
        _assert_sound(mood_at(state, at_ms=at))


def _assert_sound(mood: Mood) -> None:
    for name in ("valence", "arousal", "dominance", "sentiment_score"):
        assert -1 <= getattr(mood, name) <= 1
    assert 0 <= mood.frustration_score <= 1
    assert 0 <= mood.confidence <= 1
    assert mood.engagement_velocity >= 0
    assert mood.label in LABELS


def test_sums_have_a_limit() -> None:
    signal = SignalPayload(velocity_change=600.0)
    state = felt(*(event("emotional_shift", NOON_MS, signal=signal) for _ in range(200)))
    assert EmotionState.from_bytes(state.to_bytes()) == state


def test_a_newer_format_is_refused() -> None:
    newer = bytes([2]) + EmotionState().to_bytes()[1:]
    with pytest.raises(EmotionStateError, match="format 2; this version reads 1: run the release"):
        EmotionState.from_bytes(newer)


def test_damaged_bytes_are_refused() -> None:
    with pytest.raises(EmotionStateError, match="39 bytes of emotional state are damaged"):
        EmotionState.from_bytes(EmotionState().to_bytes()[:-1])


def golden_state() -> EmotionState:
    events = [event("like", NOON_MS), event("search", NOON_MS + 1), event("dismiss", NOON_MS + 2)]
    clicks = [event("click", NOON_MS + 100 * n, item_id="i1") for n in range(4)]
    return felt(*events, *clicks, event("review", NOON_MS + 900), read=text("fear"))


def test_version_1_is_read_for_ever() -> None:
    assert EmotionState.from_bytes(GOLDEN.read_bytes()) == golden_state()
    assert golden_state().to_bytes() == GOLDEN.read_bytes()
