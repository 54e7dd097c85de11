from array import array

from domain.recent_ids import remember


def test_the_oldest_id_gives_way() -> None:
    seen = array("Q")
    assert [remember(seen, name, limit=2) for name in ("a", "b", "b", "c", "a")] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert len(seen) == 2


def test_no_id_is_kept_where_none_may_be() -> None:
    seen = array("Q")
    assert remember(seen, "a", limit=0)
    assert remember(seen, "a", limit=0)
    assert len(seen) == 0
