"""The situation of a request: the bandit's segment, and the features of its contextual model.

A segment is device, country and part of the day, such as `mobile_us_evening`; what isn't known, or
isn't a two-letter country, has a name of its own, so segments stay few and have no colon.

`FEATURES` is the layout of the context's features: 64 numbers from -1 to 1 in a fixed order. A
feature keeps its place for ever; new ones take reserved places, which are 0 until then. Clock times
are the user's own where the request says its offset, UTC where it doesn't.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import cos, log1p, pi, sin

from domain.recent_ids import digest_of

LAYOUT_VERSION = 1
CONTEXT_DIM = 64

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

DEVICES = ("mobile", "desktop", "tablet", "tv")
PAGES = ("home", "search", "category", "item_detail", "cart")
PLACEMENTS = ("hero", "feed", "sidebar", "related")
DAYPARTS = ("night", "morning", "afternoon", "evening")
EMOTIONS = ("valence", "arousal", "dominance", "frustration")
UNKNOWN = "unknown"
NO_COUNTRY = "xx"

COUNTRY_SLOTS, REGION_SLOTS, CATEGORY_SLOTS = 8, 4, 6

# From here on more of the same says nothing new.
LONG_SESSION, MANY_EVENTS, MANY_INTERACTIONS = 100, 1_000, 10_000
LONG_SESSION_MS = 4 * HOUR_MS

NAMED: tuple[str, ...] = (
    "bias",
    *(f"device_{name}" for name in (*DEVICES, UNKNOWN)),
    *(f"page_{name}" for name in (*PAGES, "other")),
    *(f"placement_{name}" for name in (*PLACEMENTS, "other")),
    *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "weekend"),
    *(f"daypart_{name}" for name in DAYPARTS),
    *(f"country_{slot}" for slot in range(COUNTRY_SLOTS)),
    *(f"region_{slot}" for slot in range(REGION_SLOTS)),
    *(f"category_{slot}" for slot in range(CATEGORY_SLOTS)),
    *("session_length", "session_age", "views_5m", "clicks_5m", "events_1h", "events_24h"),
    *("interactions", "ctr_5m", "velocity", "recency", "cold"),
    *EMOTIONS,
    "emotion_known",
)
FEATURES: tuple[str, ...] = (
    *NAMED,
    *(f"reserved_{place}" for place in range(len(NAMED), CONTEXT_DIM)),
)
_PLACES: Mapping[str, int] = {name: place for place, name in enumerate(FEATURES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emotion:
    """How the user seems to feel: frustration from 0, the others from -1, all to 1."""

    valence: float = 0.0
    arousal: float = 0.0
    dominance: float = 0.0
    frustration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a request says of where and when, and what is known of the user; None: not known."""

    at_ms: int
    utc_offset_ms: int = 0
    device: str | None = None
    country: str | None = None
    region: str | None = None
    page_type: str | None = None
    placement: str | None = None
    top_category: str | None = None
    session_interactions: int = 0
    session_start_ms: int | None = None
    views_5m: int = 0
    clicks_5m: int = 0
    events_1h: int = 0
    events_24h: int = 0
    interactions: int = 0
    last_event_ms: int | None = None
    cold: bool = False
    emotion: Emotion | None = None

    @property
    def local_ms(self) -> int:
        """The time on the user's clock."""
        return self.at_ms + self.utc_offset_ms


def segment_of(situation: Situation) -> str:
    """The segment whose rewards are counted together.

    >>> segment_of(Situation(at_ms=20 * HOUR_MS, device="mobile", country="US"))
    'mobile_us_evening'
    >>> segment_of(Situation(at_ms=0, country="Atlantis"))
    'unknown_xx_night'
    """
    device = situation.device if situation.device in DEVICES else UNKNOWN
    return f"{device}_{_country(situation)}_{daypart_of(situation.local_ms)}"


def daypart_of(local_ms: int) -> str:
    """Which quarter of the day it is: from midnight, 6, 12 and 18 o'clock.

    >>> daypart_of(6 * HOUR_MS)
    'morning'
    """
    return DAYPARTS[local_ms % DAY_MS // (6 * HOUR_MS)]


def context_features(situation: Situation) -> tuple[float, ...]:
    """The numbers of a situation, in the order of `FEATURES`.

    >>> found = context_features(Situation(at_ms=0, device="tv"))
    >>> len(found), found[FEATURES.index("device_tv")]
    (64, 1.0)
    """
    values = [0.0] * CONTEXT_DIM
    for name, value in _where(situation):
        values[_PLACES[name]] = value
    for name, value in _when(situation):
        values[_PLACES[name]] = value
    for name, value in _who(situation):
        values[_PLACES[name]] = max(-1.0, min(1.0, value))
    return tuple(values)


def _country(situation: Situation) -> str:
    country = situation.country or ""
    known = len(country) == 2 and country.isascii() and country.isalpha()
    return country.lower() if known else NO_COUNTRY


def _where(situation: Situation) -> Iterator[tuple[str, float]]:
    yield "bias", 1.0
    yield f"device_{situation.device if situation.device in DEVICES else UNKNOWN}", 1.0
    if situation.page_type:
        yield f"page_{situation.page_type if situation.page_type in PAGES else 'other'}", 1.0
    if situation.placement:
        known = situation.placement in PLACEMENTS
        yield f"placement_{situation.placement if known else 'other'}", 1.0
    if situation.country:
        yield _hashed("country", situation.country.lower(), COUNTRY_SLOTS)
    if situation.region:
        yield _hashed("region", f"{situation.country}:{situation.region}".lower(), REGION_SLOTS)
    if situation.top_category:
        yield _hashed("category", situation.top_category, CATEGORY_SLOTS)


def _when(situation: Situation) -> Iterator[tuple[str, float]]:
    local_ms = situation.local_ms
    # 1970-01-01 was a Thursday.
    weekday = (local_ms // DAY_MS + 3) % 7
    hour_angle = 2 * pi * (local_ms % DAY_MS) / DAY_MS
    weekday_angle = 2 * pi * weekday / 7
    yield "hour_sin", sin(hour_angle)
    yield "hour_cos", cos(hour_angle)
    yield "weekday_sin", sin(weekday_angle)
    yield "weekday_cos", cos(weekday_angle)
    yield "weekend", float(weekday >= 5)
    yield f"daypart_{daypart_of(local_ms)}", 1.0


def _who(situation: Situation) -> Iterator[tuple[str, float]]:
    yield "session_length", _of_many(situation.session_interactions, LONG_SESSION)
    yield "session_age", _session_age_ms(situation) / LONG_SESSION_MS
    yield "views_5m", _of_many(situation.views_5m, LONG_SESSION)
    yield "clicks_5m", _of_many(situation.clicks_5m, LONG_SESSION)
    yield "events_1h", _of_many(situation.events_1h, MANY_EVENTS)
    yield "events_24h", _of_many(situation.events_24h, MANY_EVENTS)
    yield "interactions", _of_many(situation.interactions, MANY_INTERACTIONS)
    yield "ctr_5m", situation.clicks_5m / max(1, situation.views_5m)
    yield "velocity", _velocity(situation)
    yield "recency", _recency(situation)
    yield "cold", float(situation.cold)
    if situation.emotion is not None:
        yield "emotion_known", 1.0
        for name in EMOTIONS:
            yield name, getattr(situation.emotion, name)


def _hashed(name: str, value: str, slots: int) -> tuple[str, float]:
    """One of a few places, with a sign: two values that meet there seldom look the same."""
    digest = digest_of(value)
    return f"{name}_{digest % slots}", 1.0 if digest >> 32 & 1 else -1.0


def _of_many(count: int, many: int) -> float:
    return log1p(max(0, count)) / log1p(many)


def _session_age_ms(situation: Situation) -> int:
    start_ms = situation.session_start_ms
    return max(0, situation.at_ms - start_ms) if start_ms else 0


def _velocity(situation: Situation) -> float:
    """Whether the last five minutes were busier than the hour, as a rate: 1 if all is new."""
    now = 12 * (situation.views_5m + situation.clicks_5m)
    return (now - situation.events_1h) / (now + situation.events_1h or 1)


def _recency(situation: Situation) -> float:
    if situation.last_event_ms is None:
        return 0.0
    return HOUR_MS / (HOUR_MS + max(0, situation.at_ms - situation.last_event_ms))
