"""The situation of a request, as the bandit's segments and features want it."""

import structlog

from domain.emotion import EmotionState, EmotionStateError, Mood, mood_at
from domain.segments import Emotion, Situation
from domain.session import SESSION_GAP_MS
from serving.stages.admit import Admitted
from serving.stages.context import Known
from stores.views import UserView

log = structlog.get_logger(__name__)


def situation_of(admitted: Admitted, known: Known) -> Situation:
    """What the request says, and behind it what is known of a user who allows its use."""
    where, view, activity = admitted.request.context, known.view, known.activity
    remembered = view.known and view.consent
    in_session = remembered and _goes_on(admitted, known)
    shares = known.taste.category_share
    return Situation(
        at_ms=admitted.at_ms,
        utc_offset_ms=_utc_offset_ms(admitted),
        device=where.device or (view.device_type if remembered else None),
        country=where.geo.country or (view.country if remembered else None),
        region=where.geo.region,
        page_type=where.page_type,
        placement=where.placement,
        top_category=max(shares, key=lambda name: (shares[name], name), default=None),
        session_interactions=view.session_interactions if in_session else 0,
        session_start_ms=view.session_start_ms if in_session else None,
        views_5m=activity.views_5min,
        clicks_5m=activity.clicks_5min,
        events_1h=activity.events_1h,
        events_24h=activity.events_24h,
        interactions=activity.interactions,
        last_event_ms=activity.last_event_ms,
        cold=known.is_cold,
        emotion=_emotion(mood_of(view, admitted.at_ms)) if remembered else None,
    )


def mood_of(view: UserView, at_ms: int) -> Mood | None:
    """How the user feels; None where nothing is known."""
    if not view.emotion:
        return None
    try:
        return mood_at(EmotionState.from_bytes(view.emotion), at_ms=at_ms)
    except EmotionStateError as error:
        log.warning("how a user feels can't be read, and counts as not known", error=str(error))
        return None


def _goes_on(admitted: Admitted, known: Known) -> bool:
    """Whether the visit that is known is the one in which the request comes."""
    said, view = admitted.request.session_id, known.view
    if said and view.session_id:
        return said == view.session_id
    return admitted.at_ms - view.timestamp_ms <= SESSION_GAP_MS


def _emotion(mood: Mood | None) -> Emotion | None:
    if mood is None:
        return None
    return Emotion(
        valence=mood.valence,
        arousal=mood.arousal,
        dominance=mood.dominance,
        frustration=mood.frustration_score,
    )


def _utc_offset_ms(admitted: Admitted) -> int:
    said = admitted.request.context.timestamp
    offset = said.utcoffset() if said else None
    return round(offset.total_seconds() * 1_000) if offset else 0
