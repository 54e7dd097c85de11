"""How a user feels, from what they do and write, smoothed by event time.

The fold of a user keeps one `EmotionState` and calls, once for every accepted event:

    text = classify(event.text) if event.text and event.event_type in WRITTEN else None
    feel(state.emotion, event=event, text=text, timestamp_ms=event.timestamp_ms)
    mood = mood_at(state.emotion, at_ms=state.latest_ms)

`classify(text) -> TextEmotion` is handed in (`operators/text_emotion.py` makes one), since a model
is no part of the domain. Without a classifier `text` is None and behaviour alone counts.

Each event is evidence: a weight, and where it points in valence, arousal and dominance. Sums of
evidence fade by half in `FEELING_HALF_LIFE_MS`, frustration and pace faster. A sum of faded
evidence is the same in whatever order it was added, so late events need no care; only a burst of
clicks, which is a matter of order, takes no notice of a late click. As evidence fades, the mood
drifts back to neutral. Why the rules are as they are: docs/decisions/0008-emotion.md.

Sums are kept as of the beginning of the current period of four minutes, in the precision in which
they are stored: a state that was written and read again goes on exactly as one that was not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from math import copysign, exp, isfinite, log
from struct import Struct, error
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from schemas.types import UserEvent

Label = Literal["anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]
ScrollBehavior = Literal["browsing", "searching", "deciding"]

LABELS: tuple[Label, ...] = get_args(Label)
FELT = LABELS[:-1]
WRITTEN = MappingProxyType({"review": 1.0, "explicit_feedback": 1.0, "search": 0.3})

MINUTE_MS = 60_000
PERIOD_MS = 4 * MINUTE_MS
FEELING_HALF_LIFE_MS = 16 * MINUTE_MS
FRUSTRATION_HALF_LIFE_MS = 4 * MINUTE_MS
PACE_HALF_LIFE_MS = MINUTE_MS
# A steady stream of so many a minute leaves a faded count of so many over this.
PER_MINUTE = log(2) * MINUTE_MS / PACE_HALF_LIFE_MS
MOST_A_MINUTE = 600.0

# As much evidence as this is only half believed.
DOUBT = 1.0
BURST_CLICKS = 3
BURST_GAP_MS = 2_000
SHORT_LOOK_MS, LONG_LOOK_MS = 2_000, 20_000
CONSUMED = 0.8
NIGHT_HOURS = frozenset({23, 0, 1, 2, 3, 4})
NIGHT_AROUSAL, NIGHT_WEIGHT = -0.5, 0.05
ANNOYANCE = 0.6

# Where each emotion lies (Russell and Mehrabian 1977), and how far around it reaches.
PROTOTYPES: MappingProxyType[Label, tuple[float, float, float]] = MappingProxyType(
    {
        "anger": (-0.51, 0.59, 0.25),
        "disgust": (-0.60, 0.35, 0.11),
        "fear": (-0.64, 0.60, -0.43),
        "joy": (0.76, 0.48, 0.35),
        "sadness": (-0.63, -0.27, -0.33),
        "surprise": (0.40, 0.67, -0.13),
        "neutral": (0.0, 0.0, 0.0),
    }
)
REACH = 0.35
_PLACES = tuple(PROTOTYPES[label] for label in LABELS)
_NARROWNESS = -1 / (2 * REACH**2)

FORMAT_VERSION = 1
# version, period, weight, valence; then in half precision arousal, dominance, frustration, the
# three paces, six emotions; the burst: item, and clicks with their time in one number
_LAYOUT = Struct("<BIff12eBH")
_SUMS = Struct("<ff12e")
_MOST = 60_000.0
_OFFSET = re.compile("[+-]?[0-9]{1,3}")
_TICK_MS = 100
_TICK_OFFSET = 100
_BURST_LIMIT = 15


class EmotionStateError(Exception):
    """A stored emotional state can't be read."""


class Evidence(NamedTuple):
    """What an event says of a feeling: how much, and where it points, -1 to 1 each."""

    weight: float = 0.0
    valence: float = 0.0
    arousal: float = 0.0
    dominance: float = 0.0
    frustration: float = 0.0


# The rules of behaviour. An ordinary click, view, scroll or search counts for the pace alone.
RULES = MappingProxyType(
    {
        "purchase": Evidence(1.0, 0.6, 0.3, 0.4, -0.40),
        "like": Evidence(0.6, 0.7, 0.2, 0.2, -0.15),
        "share": Evidence(0.6, 0.7, 0.4, 0.3, -0.15),
        "add_to_cart": Evidence(0.4, 0.4, 0.2, 0.3, -0.10),
        "long_look": Evidence(0.3, 0.4, -0.1, 0.2, -0.05),
        "short_look": Evidence(0.2, -0.2, 0.1, 0.0, 0.05),
        "skip": Evidence(0.2, -0.3, 0.1, 0.0, 0.10),
        "dismiss": Evidence(0.4, -0.5, 0.2, 0.1, 0.20),
        "burst": Evidence(0.6, -0.6, 0.7, -0.5, 0.35),
    }
)
NOTHING = Evidence()

SEARCHING = frozenset({"search"})
DECIDING = frozenset({"add_to_cart", "purchase", "review", "dwell"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEmotion:
    """What a classifier reads from a text: a share for each of `LABELS`, and -1 to 1 for the rest.

    `label` is the one that stands out most, `named` are all that stand out enough, perhaps none.
    `confidence` is how likely `label` applies; a text counts by it.
    """

    label: Label
    named: tuple[Label, ...]
    shares: tuple[float, ...]
    valence: float
    arousal: float
    dominance: float
    confidence: float


@dataclass(slots=True, kw_only=True)
class EmotionState:
    """Faded sums as of the beginning of a period; changed in place by `feel`."""

    period: int = 0
    weight: float = 0.0
    valence: float = 0.0
    arousal: float = 0.0
    dominance: float = 0.0
    frustration: float = 0.0
    browsing: float = 0.0
    searching: float = 0.0
    deciding: float = 0.0
    felt: tuple[float, ...] = (0.0,) * len(FELT)
    burst_item: int = 0
    burst_clicks: int = 0
    burst_tick: int = 0

    def to_bytes(self) -> bytes:
        """Forty bytes.

        >>> len(EmotionState().to_bytes())
        40
        """
        return _LAYOUT.pack(
            FORMAT_VERSION,
            self.period,
            self.weight,
            self.valence,
            *_halves(self),
            self.burst_item,
            self.burst_clicks << 12 | self.burst_tick,
        )

    @classmethod
    def from_bytes(cls, stored: bytes) -> EmotionState:
        """The state in bytes, a new one for none.

        >>> EmotionState.from_bytes(EmotionState(period=7).to_bytes()).period
        7
        >>> EmotionState.from_bytes(b"") == EmotionState()
        True
        """
        if not stored:
            return cls()
        if stored[0] != FORMAT_VERSION:
            raise EmotionStateError(
                f"emotional state of format {stored[0]}; this version reads {FORMAT_VERSION}: "
                "run the release that wrote it, or a newer one"
            )
        try:
            return cls._of(*_LAYOUT.unpack(stored))
        except error as problem:
            raise EmotionStateError(
                f"{len(stored)} bytes of emotional state are damaged: {problem}"
            ) from None

    @classmethod
    def _of(cls, _version: int, period: int, *values: float) -> EmotionState:
        *sums, burst_item, burst = values
        return cls(
            period=period,
            weight=sums[0],
            valence=sums[1],
            arousal=sums[2],
            dominance=sums[3],
            frustration=sums[4],
            browsing=sums[5],
            searching=sums[6],
            deciding=sums[7],
            felt=tuple(sums[8:]),
            burst_item=int(burst_item),
            burst_clicks=int(burst) >> 12,
            burst_tick=int(burst) & 0xFFF,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """An emotional state as of a time: what leaves the job.

    `engagement_velocity` is in interactions a minute.
    """

    valence: float
    arousal: float
    dominance: float
    label: Label
    confidence: float
    sentiment_score: float
    frustration_score: float
    engagement_velocity: float
    scroll_behavior: ScrollBehavior


def feel(
    state: EmotionState, *, event: UserEvent, text: TextEmotion | None, timestamp_ms: int
) -> None:
    """Change a state in place by an event, and by what its text says if it was classified.

    >>> state = EmotionState()
    >>> like = UserEvent(event_id="e1", user_id="u1", event_type="like", timestamp_ms=60_000)
    >>> feel(state, event=like, text=None, timestamp_ms=60_000)
    >>> mood_at(state, at_ms=60_000).sentiment_score > 0.2
    True
    """
    _advance(state, timestamp_ms)
    _add(state, _behaviour(state, event, timestamp_ms), timestamp_ms)
    _add(state, _night(event, timestamp_ms), timestamp_ms)
    if text is not None:
        _read(state, text, WRITTEN.get(event.event_type, 0.0), timestamp_ms)
    _keep_pace(state, event, timestamp_ms)
    _round(state)


def mood_at(state: EmotionState, *, at_ms: int) -> Mood:
    """The mood at a time, usually that of the user's latest event; a read changes nothing.

    >>> mood_at(EmotionState(), at_ms=0).label
    'neutral'
    """
    faded = _fading(state, at_ms, FEELING_HALF_LIFE_MS)
    weight = state.weight * faded
    believed = weight + DOUBT
    valence, arousal, dominance = (
        _clamped(total * faded / believed)
        for total in (state.valence, state.arousal, state.dominance)
    )
    shares = _shares(state, faded / believed, (valence, arousal, dominance))
    label = max(shares, key=shares.__getitem__)
    return Mood(
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        label=label,
        confidence=shares[label] * weight / believed,
        sentiment_score=valence,
        frustration_score=_frustration(state, at_ms),
        engagement_velocity=_velocity(state, at_ms),
        scroll_behavior=_scroll_behavior(state),
    )


def _behaviour(state: EmotionState, event: UserEvent, timestamp_ms: int) -> Evidence:
    kind = event.event_type
    if kind == "click" and _clicked(state, event.item_id or event.page_type or "", timestamp_ms):
        return RULES["burst"]
    if kind in ("view", "dwell"):
        return _look(event)
    if kind in ("explicit_feedback", "review"):
        return _rating(event)
    if kind == "preference_update":
        return _preference(event)
    if kind == "emotional_shift":
        return _shift(event)
    return RULES.get(kind, NOTHING)


def _look(event: UserEvent) -> Evidence:
    """A long look or an item consumed pleases; one broken off at once disappoints."""
    if (event.completion_rate or 0.0) >= CONSUMED or (event.duration_ms or 0) >= LONG_LOOK_MS:
        return RULES["long_look"]
    if event.duration_ms is not None and event.duration_ms < SHORT_LOOK_MS:
        return RULES["short_look"]
    return NOTHING


def _rating(event: UserEvent) -> Evidence:
    """What was said outright, 0 to 1, counts in full; half is neither good nor bad."""
    reward = event.reward_override
    if reward is None:
        return _preference(event)
    valence = _clamped(2.0 * reward - 1.0)
    return Evidence(1.0, valence, 0.2 * abs(valence), 0.2 * valence, -0.3 * valence)


def _preference(event: UserEvent) -> Evidence:
    signal = event.signal
    if signal is None or signal.direction is None:
        return NOTHING
    strength = 0.5 if signal.strength is None else min(1.0, max(0.0, signal.strength))
    sign = 1.0 if signal.direction == "positive" else -1.0
    return Evidence(0.5 * strength, 0.5 * sign, 0.0, 0.1, -0.1 * sign * strength)


def _shift(event: UserEvent) -> Evidence:
    """A signal of the document: evidence as strong as the change that it tells of."""
    signal = event.signal
    if signal is None:
        return NOTHING
    sentiment = _clamped(signal.sentiment_delta)
    weight, sign = 2.0 * abs(sentiment), 1.0 if sentiment > 0 else -1.0
    return Evidence(weight, sign, 0.0, 0.0, _clamped(signal.frustration_delta))


def _night(event: UserEvent, timestamp_ms: int) -> Evidence:
    """At night people are calmer; nothing is said where the user's own time isn't known."""
    offset = _offset_minutes(event)
    if offset is None:
        return NOTHING
    hour = (timestamp_ms // MINUTE_MS + offset) // 60 % 24
    return Evidence(NIGHT_WEIGHT, 0.0, NIGHT_AROUSAL) if hour in NIGHT_HOURS else NOTHING


def _offset_minutes(event: UserEvent) -> int | None:
    """Minutes from UTC: told in the context, or from the longitude, four minutes a degree."""
    told = event.context.get("utc_offset_minutes", "")
    if _OFFSET.fullmatch(told):
        return int(told)
    longitude = event.longitude
    return round(longitude * 4) if longitude is not None and abs(longitude) <= 180 else None


def _clicked(state: EmotionState, thing: str, timestamp_ms: int) -> bool:
    """Remember a click; True where it goes on with a burst on the same thing."""
    tick = (timestamp_ms - state.period * PERIOD_MS) // _TICK_MS + _TICK_OFFSET
    since = tick - state.burst_tick
    if since < 0 and state.burst_clicks:
        return False
    item = blake2b(thing.encode(), digest_size=1).digest()[0]
    goes_on = state.burst_clicks > 0 and item == state.burst_item
    goes_on = goes_on and since * _TICK_MS <= BURST_GAP_MS
    state.burst_clicks = min(_BURST_LIMIT, state.burst_clicks + 1) if goes_on else 1
    state.burst_item, state.burst_tick = item, max(0, tick)
    return state.burst_clicks >= BURST_CLICKS


def _read(state: EmotionState, text: TextEmotion, weight: float, timestamp_ms: int) -> None:
    """A text counts by how sure its reading is; anger in it is frustration too."""
    weight *= text.confidence
    annoyed = weight * ANNOYANCE * (text.shares[0] + text.shares[1])
    said = Evidence(weight, text.valence, text.arousal, text.dominance, annoyed)
    _add(state, said, timestamp_ms)
    rising = weight * _rise(state, timestamp_ms, FEELING_HALF_LIFE_MS)
    felt = zip(state.felt, text.shares, strict=False)
    state.felt = tuple(total + rising * share for total, share in felt)


def _add(state: EmotionState, evidence: Evidence, timestamp_ms: int) -> None:
    if evidence is NOTHING:
        return
    rising = evidence.weight * _rise(state, timestamp_ms, FEELING_HALF_LIFE_MS)
    state.weight += rising
    state.valence += rising * evidence.valence
    state.arousal += rising * evidence.arousal
    state.dominance += rising * evidence.dominance
    rise = _rise(state, timestamp_ms, FRUSTRATION_HALF_LIFE_MS)
    state.frustration += rise * evidence.frustration


def _keep_pace(state: EmotionState, event: UserEvent, timestamp_ms: int) -> None:
    rise = _rise(state, timestamp_ms, PACE_HALF_LIFE_MS)
    if event.event_type == "emotional_shift":
        change = event.signal.velocity_change if event.signal is not None else None
        state.browsing += rise * _clamped(change, MOST_A_MINUTE) / PER_MINUTE
    elif event.event_type in SEARCHING:
        state.searching += rise
    elif event.event_type in DECIDING:
        state.deciding += rise
    else:
        state.browsing += rise


def _rise(state: EmotionState, timestamp_ms: int, half_life_ms: int) -> float:
    """What evidence of a time counts in a sum as of the beginning of the period."""
    return float(2.0 ** ((timestamp_ms - state.period * PERIOD_MS) / half_life_ms))


def _fading(state: EmotionState, at_ms: int, half_life_ms: int) -> float:
    return float(2.0 ** min(0.0, (state.period * PERIOD_MS - at_ms) / half_life_ms))


def _advance(state: EmotionState, timestamp_ms: int) -> None:
    """Let all sums fade to the beginning of the period of this time; never back."""
    passed = max(0, timestamp_ms // PERIOD_MS) - state.period
    if passed <= 0:
        return
    feeling, frustration, pace = (
        float(2.0 ** (-passed * PERIOD_MS / half_life))
        for half_life in (FEELING_HALF_LIFE_MS, FRUSTRATION_HALF_LIFE_MS, PACE_HALF_LIFE_MS)
    )
    state.period += passed
    state.weight *= feeling
    state.valence *= feeling
    state.arousal *= feeling
    state.dominance *= feeling
    state.felt = tuple(total * feeling for total in state.felt)
    state.frustration *= frustration
    state.browsing *= pace
    state.searching *= pace
    state.deciding *= pace
    _advance_burst(state, passed)


def _advance_burst(state: EmotionState, passed: int) -> None:
    state.burst_tick -= passed * PERIOD_MS // _TICK_MS
    if state.burst_tick < 0:
        state.burst_tick = state.burst_clicks = 0


def _round(state: EmotionState) -> None:
    """Keep sums in the precision in which they are stored, within what it can hold."""
    *sums, f0, f1, f2, f3, f4, f5 = _SUMS.unpack(
        _SUMS.pack(state.weight, state.valence, *(map(_bounded, _halves(state))))
    )
    state.weight, state.valence, state.arousal, state.dominance, state.frustration = sums[:5]
    state.browsing, state.searching, state.deciding = sums[5:]
    state.felt = (f0, f1, f2, f3, f4, f5)


def _halves(state: EmotionState) -> tuple[float, ...]:
    """What is stored in half precision."""
    return (
        state.arousal,
        state.dominance,
        state.frustration,
        state.browsing,
        state.searching,
        state.deciding,
        *state.felt,
    )


def _bounded(total: float) -> float:
    return total if -_MOST < total < _MOST else copysign(_MOST, total)


def _clamped(value: float | None, most: float = 1.0) -> float:
    """A value within its bounds; nothing for what is no number."""
    return min(most, max(-most, value)) if value is not None and isfinite(value) else 0.0


def _shares(
    state: EmotionState, scale: float, at: tuple[float, float, float]
) -> dict[Label, float]:
    """What texts named, and the rest by how near the mood is to each emotion's place."""
    near = [_nearness(at, place) for place in _PLACES]
    named = sum(state.felt) * scale
    rest = max(0.0, 1.0 - named) / sum(near)
    shares = [total * scale + rest * by for total, by in zip(state.felt, near, strict=False)]
    return dict(zip(LABELS, [*shares, rest * near[-1]], strict=True))


def _nearness(at: tuple[float, float, float], place: tuple[float, float, float]) -> float:
    distance = (at[0] - place[0]) ** 2 + (at[1] - place[1]) ** 2 + (at[2] - place[2]) ** 2
    return exp(distance * _NARROWNESS)


def _frustration(state: EmotionState, at_ms: int) -> float:
    faded = state.frustration * _fading(state, at_ms, FRUSTRATION_HALF_LIFE_MS)
    return 1.0 - exp(-max(0.0, faded))


def _velocity(state: EmotionState, at_ms: int) -> float:
    """The rate of which a steady stream would have left these sums."""
    total = state.browsing + state.searching + state.deciding
    faded = total * _fading(state, at_ms, PACE_HALF_LIFE_MS)
    return max(0.0, faded * PER_MINUTE)


def _scroll_behavior(state: EmotionState) -> ScrollBehavior:
    """Searches and steps of a decision are rarer than looks, so they count double and more."""
    if 2 * state.deciding >= max(state.browsing, 2 * state.searching) and state.deciding > 0:
        return "deciding"
    if 2 * state.searching >= state.browsing and state.searching > 0:
        return "searching"
    return "browsing"
