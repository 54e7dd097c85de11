"""Answers of every kind, with what was kept of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson

from domain.emotion import EmotionState
from domain.experiments import BUCKETS, Arm, Changes, Experiment, Experiments
from domain.supposed_mood import state_of
from schemas.codec import decode
from schemas.types import AnswerTrace, Impression, RankingTrace
from serving.evidence.retelling import Recorded, Vectors, history_of, items_of
from serving.evidence.taking import SHAPES
from serving.requests import PersonalizeRequest
from serving.service import Service
from settings import Settings
from stores.views import ItemView
from tests.serving.pretended import (
    DIM,
    NOW_MS,
    Outside,
    interaction,
    item,
    known_user,
    posterior,
)

ITEMS = 150
KEEPS_ALL = Settings.model_validate({"serving": {"traces_per_s": 10_000, "kept_feedback": 0}})


def wide_shop(count: int = ITEMS) -> list[ItemView]:
    """Many items in seven categories, alike within them, some of which moods care for."""
    chance = np.random.default_rng(1)
    centres = chance.normal(size=(7, DIM))
    vectors = (chance.normal(size=(count, DIM)) + centres[np.arange(count) % 7]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    categories = ("mugs", "lamps", "premium", "short", "clear_cta", "comfort", None)
    return [
        item(
            f"i{number}",
            vector=None if number % 31 == 30 else vectors[number],
            events=count - number,
            category_id=categories[number % len(categories)],
            created_at_ms=NOW_MS - number * 3_600_000,
            price=None if number % 13 == 0 else 1.0 + number % 40,
            title=f"Item «{number}»" if number % 17 else "",
            image_url=f"https://shop.example/{number}.jpg" if number % 2 else None,
        )
        for number in range(count)
    ]


def elsewhere(number: int) -> ItemView:
    """An item whose vector is another now."""
    vector = wide_shop()[number].vector
    return item(f"i{number}", vector=None if vector is None else np.roll(vector, number + 1))


def angry_state() -> EmotionState:
    """Frustrated, in a bad mood, and deciding."""
    return state_of(
        valence=-0.8,
        arousal=0.5,
        dominance=0.0,
        frustration=0.9,
        velocity=9.0,
        behavior="deciding",
        at_ms=NOW_MS,
    )


RECENT = (
    interaction("i1"),
    interaction("i8", "purchase", at_ms=NOW_MS - 60_000),
    interaction("gone", at_ms=NOW_MS - 90_000),
    interaction("i8", "purchase", at_ms=NOW_MS - 3_600_000),
    interaction("i3", "dismiss", at_ms=NOW_MS - 3_700_000),
    interaction("i30", "view", at_ms=NOW_MS - 3_800_000),
    interaction("i12", "dwell", at_ms=NOW_MS - 7_200_000),
)
USERS: Mapping[str, Any] = {
    "warm": {"recent": RECENT},
    "vector only": {"recent": ()},
    "taste only": {"recent": RECENT, "embedding": None, "embedding_version": 0},
    "angry": {"recent": RECENT, "emotion": angry_state().to_bytes()},
    "without consent": {"recent": RECENT, "consent": False},
    "on a phone": {"recent": RECENT, "device_type": "mobile", "country": "DE", "session_id": "s1"},
}
SURE = {"options": {"exploration_rate": 0.0}}
EAGER = {"options": {"exploration_rate": 0.6, "include_explanation": True}}


@dataclass(kw_only=True)
class Answered:
    """A service that keeps traces, and what it sent."""

    outside: Outside = field(default_factory=lambda: Outside(settings=KEEPS_ALL))
    service: Service = field(init=False)
    impression: Impression | None = None

    def __post_init__(self) -> None:
        for name, fields in USERS.items():
            seen = {"user_id": name, "stamp": name.encode(), "log_time_ms": NOW_MS - 1}
            self.outside.online.users[name] = known_user(**{**seen, **fields})
        shop = wide_shop()
        self.outside.vectors.items = shop
        self.outside.neighbors.beside = {"i1": {"i50": 0.2, "i51": 0.1}, "i8": {"i52": 0.4}}
        for number in range(0, ITEMS, 3):
            known = {"weights": np.full(64, number / 900, np.float32)} if number % 2 else {}
            self.outside.posteriors.known[f"i{number}"] = posterior(1.0 + number, 20.0, **known)
        self.service = self.outside.service(shop)
        self.service.catalog.set_trending([("i5", 9.0), ("i2", 8.0), ("i40", 7.0)])

    async def ask(
        self,
        user_id: str,
        request: Mapping[str, Any] | None = None,
        *,
        request_id: str = "r1",
        shape: str = "personalize",
        experiments: Callable[[], Experiments] = Experiments,
        degrade: bool = False,
    ) -> bytes:
        """Send an answer, and see it written."""
        pipeline = replace(self.service.pipeline, experiments=experiments)
        asked = PersonalizeRequest.model_validate({"user_id": user_id, **(request or {})})
        made, self.impression = await pipeline.personalize(
            asked, request_id=request_id, body=SHAPES[shape], degrade=degrade
        )
        await self.service.evidence.write_waiting()
        return orjson.dumps(made)

    def recorded(self, request_id: str = "r1", *, vectors: Vectors | None = None) -> Recorded:
        """What was kept."""
        answer = decode(self.outside.traces.answers[request_id].answer, AnswerTrace)
        ranking = decode(self.outside.traces.rankings[answer.ranking], RankingTrace)
        catalog = self.service.catalog
        known = {
            one: catalog.column("vectors")[row].copy()
            for one in items_of(history_of(answer), ranking)
            if (row := catalog.row(one)) is not None
        }
        return Recorded(answer=answer, ranking=ranking, vectors=vectors or known)


def one_arm(**arm: Any) -> Callable[[], Experiments]:
    """Everybody is in its one arm."""
    arms = (Arm(name="bold", weight=1.0, **arm), Arm(name="control", weight=1e-12))
    experiment = Experiment(
        experiment_id="try",
        salt="s",
        layer="page",
        first_bucket=0,
        buckets=BUCKETS,
        arms=arms,
        start_ms=0,
        end_ms=10**15,
    )
    return lambda: Experiments((experiment,))


BOLD = Changes(exploration_rate=1.0, diversity_weight=0.0, policy="thompson")
