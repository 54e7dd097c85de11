import pytest

from domain.affinity import Affinities
from domain.emotion import EmotionState
from domain.windows import Windows
from stores.users import NOTHING
from tests.stores.records import NOW_MS, user_snapshot
from writers.described import described


def test_windows_tastes_and_mood_are_told_as_of_the_latest_event() -> None:
    windows, likes = Windows(), Affinities()
    number = likes.number_of("mugs", in_use=set)
    likes.add(number, 0.5, timestamp_ms=NOW_MS)
    for n in range(4):
        at_ms = NOW_MS - n * 400_000
        windows.add("view", timestamp_ms=at_ms, item_id=f"i{n}", category=number, duration_ms=2_000)
    windows.add("click", timestamp_ms=NOW_MS, item_id="i0", category=number)
    told = described(
        user_snapshot(
            "u",
            0,
            windows=windows.to_bytes(),
            affinities=likes.to_bytes(),
            emotion=EmotionState().to_bytes(),
        )
    )
    assert told.features["session_views_5min"] == 1
    assert told.features["session_categories"] == ["mugs"]
    names = ("views_24h", "clicks_24h", "ctr_24h", "avg_view_duration_24h", "unique_categories_24h")
    assert [told.aggregates[name] for name in names] == [4, 1, 0.25, 2.0, 1]
    assert (told.aggregates["views_5m"], told.aggregates["unique_items_1h"]) == (1, 4)
    assert told.aggregates["since_click_ms"] == 0
    assert told.context["short_term"]["category_affinity"] == {"mugs": 1.0}
    assert told.context["long_term"]["preferred_categories"] == ["mugs"]
    assert told.context["emotional_state"]["scroll_behavior"] == "browsing"


def test_a_user_whose_windows_are_damaged_is_written_without_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert described(user_snapshot("u", 1, windows=b"\x09damaged")) is NOTHING
    assert "counts of format 9" in caplog.text
