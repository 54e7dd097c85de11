"""What is known of the user: one round trip to the online store, two where they have acted."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog
from cachetools import TTLCache

from domain.ranking_features import Activity
from domain.taste import Met, Taste, taste_of
from domain.windows import Counts, Windows, WindowsError
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.ports import Online
from serving.stages.admit import Admitted
from serving.trace import Trace
from stores.views import UserView

# A taste keeps the vectors that items had, and fades, so it isn't remembered for long.
REMEMBERED_S = 60.0
USERS = 5_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """The user as the other stages see them; `readable` where no feature had to be made up."""

    view: UserView
    met: tuple[Met, ...] = ()
    taste: Taste = field(default_factory=Taste)
    activity: Activity = field(default_factory=Activity)
    readable: bool = True

    @property
    def is_cold(self) -> bool:
        """Whether nothing is known that a choice could follow, or may not be used."""
        nothing = self.view.embedding is None and self.taste.mean is None
        return nothing or not self.view.consent


class ContextStage:
    """Reads a user; an unknown one is cold.

    Of a user who was read lately only the versions are read, and where they are the same the user
    is as remembered: one who has acted since has others. While the store is away, users are as they
    were when they were last read, and those who weren't are cold.
    """

    def __init__(
        self,
        online: Online,
        *,
        breaker: Breaker,
        catalog: Catalog,
        metrics: Metrics,
        timeout_s: float,
        recent: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._online = online
        self._breaker = breaker
        self._catalog = catalog
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._recent = recent
        self._remembered: TTLCache[str, Known] = TTLCache(USERS, REMEMBERED_S, timer=clock)

    async def run(self, admitted: Admitted, trace: Trace) -> Known:
        """The user of a request."""
        known = await self._current(admitted, trace)
        if not known.readable:
            trace.fall_back_to("context", "default_features")
        trace.note(user_version=known.view.version, recent=len(known.met), cold=known.is_cold)
        return known

    async def _current(self, admitted: Admitted, trace: Trace) -> Known:
        user_id = admitted.request.user_id
        timeout_s = admitted.deadline.of_stage("context", at_most_s=self._timeout_s)
        remembered = self._remembered.get(user_id)
        try:
            return await self._breaker.call(
                lambda: self._asked(user_id, remembered, admitted.now_ms), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            trace.fall_back("context", error.dependency)
            return remembered or Known(view=UserView(user_id=user_id))

    async def _asked(self, user_id: str, remembered: Known | None, now_ms: int) -> Known:
        same = remembered and await self._online.user_stamp(user_id) == remembered.view.stamp
        self._metrics.cache.labels("user", "hit" if same else "miss").inc()
        if remembered and same:
            return replace(remembered, activity=activity_of(remembered.view, now_ms=now_ms))
        view = await self._online.user(user_id, recent=self._recent)
        known = self._known(view, now_ms) if view.consent else Known(view=view)
        if view.known:
            self._remembered[user_id] = known
        return known

    def _known(self, view: UserView, now_ms: int) -> Known:
        met = tuple(met_items(view, self._catalog))
        return Known(
            view=view,
            met=met,
            taste=taste_of(met, now_ms=now_ms),
            activity=activity_of(view, now_ms=now_ms),
            readable=windows_of(view) is not None,
        )


def met_items(view: UserView, catalog: Catalog) -> list[Met]:
    """The recent interactions with items that the catalogue knows, newest first."""
    vectors, has_vector, prices = (
        catalog.column(name) for name in ("vectors", "has_vector", "prices")
    )
    met = []
    for one in view.recent:
        row = catalog.row(one.item_id) if one.item_id else None
        if row is None:
            continue
        met.append(
            Met(
                item_id=catalog.ids[row],
                action=one.event_type,
                at_ms=one.timestamp_ms,
                vector=vectors[row] if has_vector[row] else None,
                category=catalog.category_of(row),
                price=float(prices[row]) if prices[row] > 0 else None,
            )
        )
    return met


def activity_of(view: UserView, *, now_ms: int) -> Activity:
    """How busy the user has been, from the windows that the job keeps."""
    counts = _counts(view, now_ms)
    return Activity(
        views_5min=counts["5m"].get("view", 0),
        clicks_5min=counts["5m"].get("click", 0),
        events_1h=sum(counts["1h"].values()),
        events_24h=sum(counts["24h"].values()),
        interactions=view.total_interactions,
        last_event_ms=view.timestamp_ms or None,
    )


def _counts(view: UserView, now_ms: int) -> Counts:
    return (windows_of(view) or Windows()).counts(now_ms)


def windows_of(view: UserView) -> Windows | None:
    """The counts that the job keeps, None where they can't be read."""
    try:
        return Windows.from_bytes(view.windows)
    except WindowsError as error:
        log.warning("windows of a user can't be read, and count as empty", error=str(error))
        return None
