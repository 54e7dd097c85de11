import pytest

from stores.views import item_view


@pytest.mark.parametrize(
    "stored",
    [{b"catalog": b"{"}, {b"catalog": b'{"no_such":1}'}, {b"popularity": b"much"}],
)
def test_an_item_that_cannot_be_read_counts_as_deleted(
    stored: dict[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever follows the items has to get past it."""
    view = item_view("i1", 5, {b"version": b"1", **stored})
    assert (view.deleted, view.changed_at_ms) == (True, 5)
    assert "item i1 can't be read" in caplog.text
    assert "counts as deleted" in caplog.text
