import numpy as np
import pytest

from serving.catalog import FIRST_CAPACITY, Catalog, Wanted
from stores.views import ItemView
from tests.serving.pretended import NOW_MS, axis, filled, item, shop

DAY_MS = 86_400_000


def ids(catalog: Catalog, rows: object) -> list[str]:
    return [catalog.ids[row] for row in np.asarray(rows, np.int64)]


def admitted(catalog: Catalog, **wanted: object) -> list[str]:
    return ids(catalog, np.flatnonzero(catalog.admitted(Wanted(**wanted))))  # type: ignore[arg-type]


def test_items_are_there_with_all_that_is_known() -> None:
    catalog = filled()
    row = catalog.row("mug-1")
    assert row is not None
    assert len(catalog) == 6
    assert catalog.category_of(row) == "mugs"
    assert catalog.column("popularity")[row] == 90
    assert catalog.column("prices")[row] == 5.0
    assert catalog.column("vectors")[row] == pytest.approx(axis(0, 3))
    entry = catalog.entries[row]
    assert entry is not None
    assert entry.title == "Item mug-1"
    assert catalog.row("nobody") is None


def test_a_changed_item_keeps_its_row() -> None:
    catalog = filled()
    row = catalog.row("mug-1")
    catalog.apply(
        [item("mug-1", vector=axis(9), events=500, price=7.0, category_id="tins")], now_ms=NOW_MS
    )
    assert catalog.row("mug-1") == row
    assert row is not None
    assert catalog.column("prices")[row] == 7.0
    assert catalog.category_of(row) == "tins"
    assert ids(catalog, catalog.popular)[0] == "mug-1"
    assert ids(catalog, catalog.nearest(axis(9), 1, among=catalog.admitted(Wanted()))) == ["mug-1"]


@pytest.mark.parametrize(
    "gone",
    [
        ItemView(item_id="mug-0", changed_at_ms=2, deleted=True),
        ItemView(item_id="mug-0", changed_at_ms=2, version=1, total_events=900),
        item("mug-0", is_active=False),
        item("mug-0", availability="out_of_stock"),
        item("mug-0", visibility="hidden"),
        item("mug-0", operation="delete"),
    ],
    ids=["deleted", "never ingested", "inactive", "out of stock", "hidden", "withdrawn"],
)
def test_what_cant_be_shown_is_nowhere(gone: ItemView) -> None:
    catalog = filled()
    catalog.apply([gone], now_ms=NOW_MS)
    catalog.set_trending([("mug-0", 3.0), ("mug-1", 2.0)])
    assert len(catalog) == 5
    assert "mug-0" not in admitted(catalog)
    assert "mug-0" not in ids(catalog, catalog.popular)
    assert "mug-0" not in ids(catalog, catalog.newest)
    assert "mug-0" not in ids(catalog, catalog.trending)
    nearest = catalog.nearest(axis(0), 6, among=catalog.admitted(Wanted()))
    assert "mug-0" not in ids(catalog, nearest)


def test_an_item_can_come_back() -> None:
    catalog = filled()
    catalog.apply([ItemView(item_id="mug-0", changed_at_ms=2, deleted=True)], now_ms=NOW_MS)
    catalog.apply([item("mug-0", vector=axis(0))], now_ms=NOW_MS)
    assert len(catalog) == 6


def test_arrays_grow_and_keep_what_they_hold() -> None:
    catalog = Catalog()
    many = 2 * FIRST_CAPACITY + 3
    for start in range(0, many, 100):
        catalog.apply(
            [
                item(f"i{n}", vector=axis(n % 512), events=n, category_id=f"c{n % 7}", price=None)
                for n in range(start, min(many, start + 100))
            ],
            now_ms=NOW_MS,
        )
    assert len(catalog) == many
    assert catalog.column("popularity").tolist() == list(range(many))
    assert catalog.column("vectors")[2_000, 2_000 % 512] == 1.0
    assert catalog.category_of(2_000) == f"c{2_000 % 7}"
    assert np.isnan(catalog.column("prices")).all()


def test_limits_of_a_request() -> None:
    catalog = filled(
        [
            item("cheap", price=1.0, category_id="mugs"),
            item("dear", price=9.0, category_id="mugs"),
            item("unknown", price=None, category_id="lamps"),
            item("loose", price=9.0),
        ]
    )
    assert admitted(catalog) == ["cheap", "dear", "unknown", "loose"]
    assert admitted(catalog, categories=("mugs",)) == ["cheap", "dear"]
    assert admitted(catalog, categories=("mugs", "lamps")) == ["cheap", "dear", "unknown"]
    assert admitted(catalog, categories=("nothing",)) == []
    assert admitted(catalog, min_price=1.0) == ["cheap", "dear", "loose"]
    assert admitted(catalog, max_price=1.0) == ["cheap"]
    assert admitted(catalog, min_price=2.0, max_price=9.0) == ["dear", "loose"]
    assert admitted(catalog, exclude=("cheap", "nobody")) == ["dear", "unknown", "loose"]


def test_popular_newest_and_trending_are_in_order() -> None:
    catalog = filled()
    assert ids(catalog, catalog.popular) == [
        *("mug-0", "lamp-0", "mug-1", "lamp-1", "mug-2", "lamp-2"),
    ]
    assert ids(catalog, catalog.newest)[:2] == ["mug-2", "lamp-2"]
    assert ids(catalog, catalog.trending) == ["lamp-0", "mug-1"]
    assert ids(catalog, catalog.best_of_categories()) == ["mug-0", "lamp-0"]


def test_trending_weights_are_logarithms() -> None:
    catalog = filled()
    rows = catalog.rows(["lamp-0", "mug-1", "mug-0"])
    assert catalog.column("trend")[rows] == pytest.approx([1.0, 0.5, 0.0])
    catalog.set_trending([])
    assert not catalog.column("trend").any()


def test_the_catalogues_own_popularity_counts_too() -> None:
    catalog = filled([item("a", events=1), item("b", events=0, popularity_score=5.0)])
    assert ids(catalog, catalog.popular) == ["b", "a"]


def test_a_creation_time_in_the_future_makes_nothing_newer_than_now() -> None:
    catalog = filled([item("a", created_at_ms=NOW_MS + DAY_MS), item("b", created_at_ms=NOW_MS)])
    assert ids(catalog, catalog.newest) == ["a", "b"]
    rows = np.array(catalog.rows(["a", "b"]))
    assert catalog.freshness(rows, now_ms=NOW_MS).tolist() == [1.0, 1.0]


def test_freshness_fades_over_a_week() -> None:
    catalog = filled([item("a", created_at_ms=NOW_MS - 7 * DAY_MS), item("b")])
    rows = np.array(catalog.rows(["a", "b"]))
    assert catalog.freshness(rows, now_ms=NOW_MS) == pytest.approx([np.exp(-1), 0.0])


def test_nearest_is_exact_and_needs_a_vector() -> None:
    catalog = filled([*shop(), item("blank")])
    among = catalog.admitted(Wanted())
    found = ids(catalog, catalog.nearest(axis(0), 7, among=among))
    assert found[0] == "mug-0"
    assert set(found[:3]) == {"mug-0", "mug-1", "mug-2"}
    assert "blank" not in found
    assert ids(catalog, catalog.nearest(axis(0), 2, among=among)) == found[:2]


def test_the_version_grows_with_each_change() -> None:
    catalog = filled()
    assert catalog.version == 6
    catalog.apply([], now_ms=NOW_MS)
    assert catalog.version == 6
    catalog.apply([item("mug-0")], now_ms=NOW_MS)
    assert catalog.version == 7
