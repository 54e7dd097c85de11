"""What is told of a user as of an instant, by name: numbers of windows, tastes, mood.

The names of numbers are the specification's where it has one (`views_24h`, `ctr_24h`,
`avg_view_duration_24h` in seconds); the others follow them, each with its window at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domain.affinity import Affinities
from domain.emotion import EmotionState, mood_at
from domain.windows import WINDOWS, Activity, Windows

TOP = 5
COUNTED = (("views", "view"), ("clicks", "click"), ("likes", "like"), ("purchases", "purchase"))


def aggregates(windows: Windows, *, now_ms: int) -> dict[str, float]:
    """The numbers of all windows.

    >>> windows = Windows()
    >>> windows.add("view", timestamp_ms=0, item_id="i1")
    0
    >>> aggregates(windows, now_ms=0)["views_24h"]
    1
    """
    found: dict[str, float] = {}
    for name, activity in windows.activity(now_ms).items():
        found |= {f"{key}_{name}": value for key, value in _numbers(activity)}
    for kind, since_ms in windows.since_last_ms(now_ms).items():
        found[f"since_{kind}_ms"] = since_ms
    return found


def _numbers(activity: Activity) -> Iterator[tuple[str, float]]:
    for name, kind in COUNTED:
        yield name, activity.counts.get(kind, 0)
    yield "events", activity.events
    yield "ctr", round(activity.ctr, 4)
    yield "conversion_rate", round(activity.conversion_rate, 4)
    yield "avg_view_duration", round(activity.mean_duration_ms / 1_000, 3)
    yield "total_duration", activity.duration_ms / 1_000
    yield "unique_items", activity.items
    yield "unique_categories", len(activity.categories)
    yield "unique_exact", int(activity.items_exact)
    yield "spend", activity.spend


def top_categories(activity: Activity, likes: Affinities) -> list[str]:
    """The categories of which a window has the most different items, the most first.

    >>> likes = Affinities()
    >>> number = likes.number_of("mugs", in_use=set)
    >>> windows = Windows()
    >>> windows.add("view", timestamp_ms=0, item_id="i1", category=number)
    0
    >>> top_categories(windows.activity(0)["1h"], likes)
    ['mugs']
    """
    ordered = sorted(activity.categories.items(), key=lambda one: (-one[1], one[0]))
    named = [likes.names[number] for number, _ in ordered if number < len(likes.names)]
    return named[:TOP]


def session_features(windows: Windows, likes: Affinities, *, now_ms: int) -> dict[str, Any]:
    """What the last five minutes say, and the top categories of each window.

    >>> session_features(Windows(), Affinities(), now_ms=0)["session_views_5min"]
    0
    """
    held = windows.activity(now_ms)
    tops = {f"top_categories_{one.name}": top_categories(held[one.name], likes) for one in WINDOWS}
    counts = held["5m"].counts
    return {
        "session_views_5min": counts.get("view", 0),
        "session_clicks_5min": counts.get("click", 0),
        "session_categories": tops["top_categories_5m"],
        **tops,
    }


def preferences(likes: Affinities, emotion: EmotionState, *, now_ms: int) -> dict[str, Any]:
    """The parts of the specification's user context that follow from tastes and mood.

    >>> preferences(Affinities(), EmotionState(), now_ms=0)["long_term"]["price_sensitivity"]

    """
    mood = mood_at(emotion, at_ms=now_ms)
    return {
        "short_term": {
            "category_affinity": {name: round(x, 4) for name, x in likes.for_now().items()}
        },
        "long_term": {
            "preferred_categories": likes.preferred(),
            "disliked_categories": likes.disliked(),
            "price_sensitivity": likes.price_sensitivity(),
        },
        "emotional_state": {
            "sentiment_score": round(mood.sentiment_score, 4),
            "engagement_velocity": round(mood.engagement_velocity, 4),
            "scroll_behavior": mood.scroll_behavior,
            "frustration_score": round(mood.frustration_score, 4),
        },
    }
