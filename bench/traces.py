"""What keeping traces costs: CPU time of answers in process, without servers.

`make bench-traces` writes `results/traces.json`. Answers are remembered or ranked anew, with and
without every one of them being kept; a service keeps `serving.traces_per_s` of them at most.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, cast

import numpy as np

from bench.result import save
from schemas.types import Interaction
from serving.evidence.log import EvidenceLog, kept_answer
from serving.evidence.taking import Going, Histories, Taken
from serving.pipeline import Pipeline
from serving.rankings import Rankings
from serving.requests import PersonalizeRequest
from serving.stages import answer
from stores.traces import KeptAnswer
from stores.views import ItemView
from tests.serving.pretended import DIM, NOW_MS, Outside, item, known_user, posterior

ITEMS, USERS, RECENT, LEARNED = 20_000, 60, 50, 2_000
REMEMBERED, ANEW, ROUNDS = 240, 60, 7
GOING = Going(policy="contextual_thompson", weight=0.3)


class Nowhere:
    """A store that takes all and costs nothing."""

    async def write(self, kept: Sequence[KeptAnswer], **_: int) -> list[bool]:
        """Take all."""
        return [True] * len(kept)


class AnyItems:
    """A vector store that costs nothing: it names any items."""

    async def search_items_each(
        self, vectors: Sequence[object], k: int, **_: object
    ) -> list[list[tuple[str, float]]]:
        """Some for each vector."""
        return [
            [(f"i{(place * 37 + at * 101) % ITEMS}", 0.5) for place in range(k)]
            for at, _ in enumerate(vectors)
        ]


def shop() -> list[ItemView]:
    """Items anywhere."""
    vectors = np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        item(
            f"i{number}",
            vector=vectors[number],
            events=ITEMS // (number + 1),
            category_id=f"category {number % 50}",
            image_url=f"https://shop.example/{number}.jpg",
            created_at_ms=NOW_MS - number * 1_000,
            price=1.0 + number % 30,
        )
        for number in range(ITEMS)
    ]


def outside() -> Outside:
    """Users who have done much lately, and posteriors that have learned."""
    made = Outside()
    recent = tuple(
        Interaction(
            event_id=f"e-{number:032d}",
            event_type="click",
            timestamp_ms=NOW_MS - number * 60_000,
            item_id=f"i{number * 7}",
        )
        for number in range(RECENT)
    )
    for number in range(USERS):
        name = f"u{number}"
        made.online.users[name] = known_user(user_id=name, recent=recent, stamp=name.encode())
    weights = np.full(64, 0.01, np.float32)
    for number in range(LEARNED):
        made.posteriors.known[f"i{number}"] = posterior(2.0 + number, 5.0, weights=weights)
    made.vectors = cast("Any", AnyItems())
    return made


async def microseconds(pipeline: Pipeline, *, count: int, anew: bool) -> float:
    """CPU time of an answer, with all that it leaves to be written: the median of some rounds."""
    found = []
    for turn in range(ROUNDS):
        started = time.process_time()
        for number in range(count):
            if anew:
                pipeline = forgetting(pipeline)
            request = PersonalizeRequest(user_id=f"u{number % USERS}")
            await pipeline.personalize(request, request_id=f"{turn}-{number}")
            if pipeline.evidence:
                await pipeline.evidence.write_waiting()
        found.append((time.process_time() - started) / count * 1e6)
    return round(median(found))


def forgetting(pipeline: Pipeline) -> Pipeline:
    """The same without rankings that it remembers."""
    return replace(pipeline, rankings=Rankings(pipeline.catalog, metrics=pipeline.metrics))


def each(do: Callable[[], object], *, count: int = 2_000) -> float:
    """CPU time of a call in microseconds."""
    started = time.process_time()
    for _ in range(count):
        do()
    return round((time.process_time() - started) / count * 1e6, 1)


async def measured() -> dict[str, object]:
    """All figures."""
    service = outside().service(shop())
    evidence = EvidenceLog(
        Nowhere(),
        catalog=service.catalog,
        metrics=service.metrics,
        going=GOING,
        lifetime_s=900,
        per_s=1_000_000_000,
        capacity=1_000_000,
    )
    without = replace(service.pipeline, evidence=None)
    keeping = replace(service.pipeline, evidence=evidence)
    figures: dict[str, object] = {
        f"us_{'anew' if anew else 'remembered'}_{name}": await microseconds(
            pipeline, count=ANEW if anew else REMEMBERED, anew=anew
        )
        for anew in (False, True)
        for name, pipeline in (("without", without), ("keeping", keeping))
    }
    await forgetting(keeping).personalize(PersonalizeRequest(user_id="u1"), request_id="last")
    first: Taken = evidence._queue.get_nowait()  # noqa: SLF001
    again, histories = replace(first, first=False), Histories()
    put = (first.chosen, first.trace, first.made, answer.body)
    kept = kept_answer(first, service.catalog, GOING, histories)
    return figures | {
        "us_handing_over": each(lambda: evidence.put(*put)),
        "us_record_of_answer": each(
            lambda: kept_answer(again, service.catalog, GOING, histories), count=300
        ),
        "us_record_with_ranking": each(
            lambda: kept_answer(first, service.catalog, GOING, histories), count=300
        ),
        "bytes_answer": len(kept.answer),
        "bytes_ranking": len(kept.ranking),
    }


if __name__ == "__main__":
    found = asyncio.run(measured())
    print(*(f"{name} {value}" for name, value in found.items()), sep="\n")
    save("traces", found)
