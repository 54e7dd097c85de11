import numpy as np
import pytest

from schemas.types import CandidateSource
from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.rankings import CATALOG_S, LIFETIME_S, Rankings
from serving.stages.context import Known
from serving.stages.shortlist import Likeness, Shortlist
from stores.views import UserView
from tests.clock import Clock
from tests.serving.pretended import NOW_MS, admitted, count_of, filled, item, known_user

SOURCE: CandidateSource = "popular"


def best(catalog: Catalog, *ids: str) -> Shortlist:
    count = len(ids)
    some, none = np.ones(count, np.float32), np.zeros(count, np.bool_)
    rows = np.array(catalog.rows(ids))
    return Shortlist(
        rows=rows,
        ids=ids,
        sources=(SOURCE,) * count,
        scores=some,
        freshness=some,
        price_affinity=some,
        novel=none,
        reserve=none,
        traits={},
        model_version="m",
        likeness=Likeness(catalog, rows),
    )


def known(stamp: bytes = b"1", user_id: str = "u1") -> Known:
    return Known(view=known_user(user_id=user_id, stamp=stamp))


@pytest.fixture
def catalog() -> Catalog:
    return filled()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rankings(catalog: Catalog, clock: Clock) -> Rankings:
    made = Rankings(catalog, metrics=Metrics(), clock=clock)
    made.keep(admitted(), known(), best(catalog, "mug-0", "lamp-0"))
    return made


def test_the_same_state_asked_for_the_same_has_the_same_ranking(rankings: Rankings) -> None:
    found = rankings.find(admitted(), known())
    assert found is not None
    assert found.ids == ("mug-0", "lamp-0")


@pytest.mark.parametrize(
    "request_of",
    [
        {"constraints": {"count": 7}},
        {"constraints": {"exclude_items": ["mug-0"]}},
        {"constraints": {"categories": ["mugs"]}},
        {"context": {"timestamp": "2027-01-15T09:00:00Z"}},
    ],
)
def test_another_request_needs_another_ranking(
    rankings: Rankings, request_of: dict[str, object]
) -> None:
    assert rankings.find(admitted(request_of), known()) is None


def test_another_state_or_another_user_needs_another_ranking(rankings: Rankings) -> None:
    assert rankings.find(admitted(), known(stamp=b"2")) is None
    assert rankings.find(admitted(), known(user_id="u2")) is None


def test_all_of_whom_nothing_is_known_share_one(rankings: Rankings, catalog: Catalog) -> None:
    nobody, another = (Known(view=UserView(user_id=name)) for name in ("a", "b"))
    assert rankings.find(admitted(), nobody) is None
    rankings.keep(admitted(), nobody, best(catalog, "lamp-1"))
    assert rankings.find(admitted(), another) is not None


def test_a_ranking_lasts_as_long_as_the_documents_say(rankings: Rankings, clock: Clock) -> None:
    clock.now = LIFETIME_S - 1
    assert rankings.find(admitted(), known()) is not None
    clock.now = LIFETIME_S
    assert rankings.find(admitted(), known()) is None


def test_a_new_item_may_be_missing_for_two_seconds(
    rankings: Rankings, catalog: Catalog, clock: Clock
) -> None:
    catalog.apply([item("new")], now_ms=NOW_MS)
    clock.now = CATALOG_S - 0.1
    assert rankings.find(admitted(), known()) is not None
    clock.now = CATALOG_S
    assert rankings.find(admitted(), known()) is None


def test_popularity_alone_ends_no_ranking(
    rankings: Rankings, catalog: Catalog, clock: Clock
) -> None:
    before = catalog.version
    catalog.apply([item("mug-0", vector=catalog.column("vectors")[0].copy(), events=7)], now_ms=1)
    changed = catalog.entries_version
    catalog.apply([item("mug-0", vector=catalog.column("vectors")[0].copy(), events=8)], now_ms=1)
    assert (catalog.version, catalog.entries_version) == (before + 2, changed)
    clock.now = CATALOG_S
    assert rankings.find(admitted(), known()) is None


def test_what_may_not_be_shown_any_more_ends_a_ranking_at_once(
    rankings: Rankings, catalog: Catalog
) -> None:
    catalog.apply([item("lamp-0", availability="out_of_stock")], now_ms=NOW_MS)
    assert rankings.find(admitted(), known()) is None


def test_hits_and_misses_are_counted(catalog: Catalog) -> None:
    metrics = Metrics()
    rankings = Rankings(catalog, metrics=metrics)
    rankings.find(admitted(), known())
    rankings.keep(admitted(), known(), best(catalog, "mug-0"))
    rankings.find(admitted(), known())
    for outcome in ("hit", "miss"):
        assert count_of(metrics, "freshet_cache_total", cache="ranking", outcome=outcome) == 1
