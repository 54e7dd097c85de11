import pytest

from domain.item_pairs import REACH, STEP, pairs_of
from domain.session import RecentItem
from schemas.types import EventType, UserEvent

EARLIER = [RecentItem("a", 1, "view"), RecentItem("b", 2, "click"), RecentItem("c", 3, "purchase")]


def event(item_id: str | None = "x", kind: EventType = "click") -> UserEvent:
    return UserEvent(event_id="e9", user_id="u", event_type=kind, timestamp_ms=9, item_id=item_id)


def told(event: UserEvent, earlier: list[RecentItem]) -> list[tuple[str, dict[str, float]]]:
    pairs = pairs_of(event, earlier, log_time_ms=10)
    assert {(p.event_id, p.timestamp_ms, p.log_time_ms) for p in pairs} <= {("e9", 9, 10)}
    return [(p.item_id, dict(zip(p.others, p.weights, strict=True))) for p in pairs]


def test_an_item_and_those_before_it_become_neighbours_of_each_other() -> None:
    w = 0.3
    assert told(event(), EARLIER) == [
        ("x", {"c": w, "b": w * STEP, "a": w * STEP**2}),
        ("c", {"x": w}),
        ("b", {"x": w * STEP}),
        ("a", {"x": w * STEP**2}),
    ]


def test_of_an_item_met_again_only_what_is_more_counts() -> None:
    earlier = [RecentItem("x", 1, "view"), RecentItem("y", 2, "view")]
    ((item, others), (other, back)) = told(event("x", "purchase"), earlier)
    assert (item, list(others), other) == ("x", ["y"], "y")
    assert others["y"] == back["x"] == pytest.approx(0.9)
    assert told(event("x", "view"), earlier) == []


def test_no_more_than_the_last_few_are_paired() -> None:
    earlier = [RecentItem(f"i{n}", n, "view") for n in range(10)]
    first = told(event(), earlier)[0][1]
    assert list(first) == [f"i{n}" for n in range(9, 9 - REACH, -1)]


@pytest.mark.parametrize("kind", ["dismiss", "skip", "search"])
def test_what_speaks_against_an_item_pairs_nothing(kind: EventType) -> None:
    assert told(event(kind=kind), EARLIER) == []
    assert told(event(), [RecentItem("a", 1, kind)]) == []


def test_without_an_item_or_company_there_is_no_pair() -> None:
    assert told(event(None), EARLIER) == []
    assert told(event(), []) == []
