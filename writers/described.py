"""What is written of users beside their snapshots, by the mathematics of the domain."""

import logging

from domain.affinity import Affinities, AffinitiesError
from domain.emotion import EmotionState, EmotionStateError
from domain.user_features import aggregates, preferences, session_features
from domain.windows import Windows, WindowsError
from schemas.types import UserSnapshot
from stores.users import NOTHING, Described

log = logging.getLogger(__name__)


def described(user: UserSnapshot) -> Described:
    """Windows, tastes and mood as of the user's latest event; nothing where they can't be read."""
    try:
        windows = Windows.from_bytes(user.windows)
        likes = Affinities.from_bytes(user.affinities)
        emotion = EmotionState.from_bytes(user.emotion)
    except (WindowsError, AffinitiesError, EmotionStateError) as error:
        log.warning("features of a user can't be read, and are left out: %s", error)
        return NOTHING
    at_ms = user.timestamp_ms
    return Described(
        features=session_features(windows, likes, now_ms=at_ms),
        aggregates=aggregates(windows, now_ms=at_ms),
        context=preferences(likes, emotion, now_ms=at_ms),
    )
