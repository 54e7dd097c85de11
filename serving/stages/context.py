"""What is known of the user: one round trip to the online store."""

from dataclasses import dataclass, field

import structlog

from domain.ranking_features import Activity
from domain.taste import Met, Taste, taste_of
from domain.windows import Counts, Windows, WindowsError
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.ports import Online
from serving.stages.admit import Admitted
from serving.trace import Trace
from stores.views import UserView

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """The user as the other stages see them."""

    view: UserView
    met: tuple[Met, ...] = ()
    taste: Taste = field(default_factory=Taste)
    activity: Activity = field(default_factory=Activity)

    @property
    def is_cold(self) -> bool:
        """Whether nothing is known that a choice could follow, or may not be used."""
        nothing = self.view.embedding is None and self.taste.mean is None
        return nothing or not self.view.consent


class ContextStage:
    """Reads a user; an unknown one, and any one while the store is away, is cold."""

    def __init__(
        self, online: Online, *, breaker: Breaker, catalog: Catalog, timeout_s: float, recent: int
    ) -> None:
        self._online = online
        self._breaker = breaker
        self._catalog = catalog
        self._timeout_s = timeout_s
        self._recent = recent

    async def run(self, admitted: Admitted, trace: Trace) -> Known:
        """The user of a request."""
        view = await self._read(admitted, trace)
        known = self._known(view, admitted.now_ms) if view.consent else Known(view=view)
        trace.note(user_version=view.version, recent=len(known.met), cold=known.is_cold)
        return known

    async def _read(self, admitted: Admitted, trace: Trace) -> UserView:
        user_id = admitted.request.user_id
        timeout_s = admitted.deadline.of_stage("context", at_most_s=self._timeout_s)
        try:
            return await self._breaker.call(
                lambda: self._online.user(user_id, recent=self._recent), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            trace.fall_back("context", error.dependency)
            return UserView(user_id=user_id)

    def _known(self, view: UserView, now_ms: int) -> Known:
        met = tuple(met_items(view, self._catalog))
        return Known(
            view=view,
            met=met,
            taste=taste_of(met, now_ms=now_ms),
            activity=activity_of(view, now_ms=now_ms),
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
    try:
        return Windows.from_bytes(view.windows).counts(now_ms)
    except WindowsError as error:
        log.warning("windows of a user can't be read, and count as empty", error=str(error))
        return Windows().counts(now_ms)
