from hypothesis import given
from hypothesis import strategies as st

from domain.session import LONGEST_MS, RECENT_ITEMS, RecentItem, Session, count_in, meet
from schemas.types import UserEvent


def session_of(items: list[tuple[str, int]]) -> Session:
    session = Session()
    for number, (item_id, at_ms) in enumerate(items):
        view = UserEvent(event_id=f"e{number}", user_id="u", event_type="view", timestamp_ms=at_ms)
        count_in(session, view)
        meet(session, RecentItem(item_id, at_ms, "view"))
    return session


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 500)),
        max_size=60,
        unique_by=lambda item: item[1],
    )
)
def test_recent_items_are_the_last_different_ones_by_their_own_time(
    items: list[tuple[str, int]],
) -> None:
    """As long as no more than are kept stand between, whatever came out of order."""
    items = [(item_id, at_ms) for item_id, at_ms in items if item_id in "abcdefghij"]
    last = dict(sorted(items, key=lambda item: item[1]))
    expected = sorted(last.items(), key=lambda item: item[1])
    kept = [(item.item_id, item.timestamp_ms) for item in session_of(items).recent_items]
    assert kept == expected


def test_no_more_than_ten_items_are_kept() -> None:
    session = session_of([(f"i{n}", n) for n in range(25)])
    assert [item.item_id for item in session.recent_items] == [f"i{n}" for n in range(15, 25)]
    meet(session, RecentItem("older", 3, "view"))
    assert len(session.recent_items) == RECENT_ITEMS
    assert "older" not in [item.item_id for item in session.recent_items]


def test_items_of_a_visit_without_end_are_forgotten_after_a_day() -> None:
    session = session_of([("a", 0), ("b", LONGEST_MS), ("c", LONGEST_MS + 1)])
    assert [item.item_id for item in session.recent_items] == ["b", "c"]
    meet(session, RecentItem("a", 0, "click"))
    assert [item.item_id for item in session.recent_items] == ["b", "c"]
