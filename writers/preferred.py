"""What a profile says of a user's tastes, by the mathematics of the domain."""

import logging
from collections.abc import Mapping

from domain.affinity import Affinities, AffinitiesError
from schemas.types import UserSnapshot

log = logging.getLogger(__name__)


def preferred_categories(user: UserSnapshot) -> Mapping[str, float]:
    """Shares of the categories that the user's last day speaks for; none where unreadable."""
    try:
        likes = Affinities.from_bytes(user.affinities)
    except AffinitiesError as error:
        log.warning("tastes of a user can't be read, and are left out: %s", error)
        return {}
    return likes.for_now()
