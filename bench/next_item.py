"""How well the next item of a session is foretold: first asked, then told, event by event."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from heapq import nlargest
from math import exp2, log2
from time import process_time
from typing import Protocol
from zlib import crc32

from bench.session_logs import Step
from domain.item_pairs import pairs_of
from domain.neighbors import SIZE, Neighbors, meet, ranked
from domain.session import RECENT_ITEMS, RecentItem
from schemas.types import UserEvent

SHOWN = 20
SCORED = 10


class Foreteller(Protocol):
    """Says what a session meets next, and learns what it met."""

    def foretell(self, session: str, met: Sequence[str]) -> list[str]:
        """The best items, best first; none that the session met."""
        ...

    def learn(self, step: Step, earlier: Sequence[RecentItem]) -> None:
        """Take in what was met."""
        ...


class Popular:
    """What is popular, fading."""

    def __init__(self, half_life_ms: int) -> None:
        self._half_life_ms = half_life_ms
        self._weights: dict[str, float] = defaultdict(float)
        self._landmark_ms = 0

    def foretell(self, session: str, met: Sequence[str]) -> list[str]:  # noqa: ARG002
        best = nlargest(SHOWN + len(met), self._weights, key=self._weights.__getitem__)
        return [item for item in best if item not in met][:SHOWN]

    def learn(self, step: Step, earlier: Sequence[RecentItem]) -> None:  # noqa: ARG002
        if step.at_ms - self._landmark_ms > 60 * self._half_life_ms:
            faded = exp2(-(step.at_ms - self._landmark_ms) / self._half_life_ms)
            self._weights = defaultdict(
                float, {k: v * faded for k, v in self._weights.items() if v * faded > 1e-12}
            )
            self._landmark_ms = step.at_ms
        self._weights[step.item_id] += exp2((step.at_ms - self._landmark_ms) / self._half_life_ms)


class SimilarSessions:
    """V-SKNN (Ludewig and Jannach, 2018): what the sessions met that are like this one."""

    def __init__(self, *, sessions: int = 100, sampled: int = 1_000) -> None:
        self._best, self._sampled = sessions, sampled
        self._items: dict[str, set[str]] = defaultdict(set)
        self._with: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=sampled))

    def foretell(self, session: str, met: Sequence[str]) -> list[str]:
        # Later items of the session weigh more, linearly.
        weights = {item: (place + 1) / len(met) for place, item in enumerate(met)}
        alike = [
            (sum(weights[item] for item in self._items[other] & weights.keys()), other)
            for other in self._candidates(session, met)
        ]
        scores: dict[str, float] = defaultdict(float)
        for likeness, other in nlargest(self._best, alike):
            for item in self._items[other] - weights.keys():
                scores[item] += likeness * self._latest_shared(met, other)
        return nlargest(SHOWN, scores, key=scores.__getitem__)

    def learn(self, step: Step, earlier: Sequence[RecentItem]) -> None:  # noqa: ARG002
        self._items[step.session].add(step.item_id)
        self._with[step.item_id].append(step.session)

    def _candidates(self, session: str, met: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for item in reversed(met):
            found.update(self._with.get(item, ()))
            if len(found) > 3 * self._sampled:
                break
        return found - {session}

    def _latest_shared(self, met: Sequence[str], other: str) -> float:
        back = next(n for n, item in enumerate(reversed(met), 1) if item in self._items[other])
        return max(0.0, 1.0 - 0.1 * back)


class Neighborly:
    """The neighbours of the last items of the session, as the job `item_state` keeps them."""

    ASKED, FADES = 5, 0.7

    def __init__(self, half_lives_ms: tuple[int, ...], *, size: int = SIZE) -> None:
        self._half_lives_ms, self._size = half_lives_ms, size
        self.of: dict[str, Neighbors] = {}
        self.pairs = self.messages = 0

    def foretell(self, session: str, met: Sequence[str]) -> list[str]:  # noqa: ARG002
        scores: dict[str, float] = defaultdict(float)
        for back, item in enumerate(reversed(met[-self.ASKED :])):
            known = self.of.get(item)
            for other, score in ranked(known, self._size) if known else ():
                scores[other] += score * self.FADES**back
        return nlargest(SHOWN, scores.keys() - set(met), key=scores.__getitem__)

    def learn(self, step: Step, earlier: Sequence[RecentItem]) -> None:
        for pair in pairs_of(event_of(step), earlier, log_time_ms=step.at_ms):
            known = self.of.get(pair.item_id)
            if known is None:
                known = self.of[pair.item_id] = Neighbors(half_lives_ms=self._half_lives_ms)
            meet(
                known,
                pair.others,
                pair.weights,
                timestamp_ms=step.at_ms,
                size=self._size,
            )
            self.messages += 1
            self.pairs += len(pair.others)


def event_of(step: Step) -> UserEvent:
    """The event of a step, in a session of its own user."""
    return UserEvent(
        event_id=f"{step.session}-{step.item_id}",
        user_id=step.session,
        event_type=step.kind,
        timestamp_ms=step.at_ms,
        item_id=step.item_id,
    )


def measured(
    steps: Sequence[Step], tellers: Mapping[str, Foreteller], *, warm: float, asked: float
) -> dict[str, dict[str, float]]:
    """Quality and cost of each; asked are a share of the steps after a warm one, by their hash."""
    met: dict[str, list[RecentItem]] = defaultdict(list)
    ranks: dict[str, list[int | None]] = {name: [] for name in tellers}
    spent_s: dict[str, float] = defaultdict(float)
    first = int(warm * len(steps))
    for number, step in enumerate(steps):
        earlier = met[step.session]
        items = [item.item_id for item in earlier]
        if step.item_id in items:
            continue
        asking = earlier and number >= first and crc32(b"%d" % number) < asked * 2**32
        for name, teller in tellers.items():
            if asking:
                ranks[name].append(_rank(teller.foretell(step.session, items), step.item_id))
            began = process_time()
            teller.learn(step, earlier[-RECENT_ITEMS:])
            spent_s[name] += process_time() - began
        earlier.append(RecentItem(step.item_id, step.at_ms, step.kind))
    return {
        name: {**_quality(found), "learn_us_per_event": round(1e6 * spent_s[name] / len(steps), 1)}
        for name, found in ranks.items()
    }


def _rank(foretold: Sequence[str], item_id: str) -> int | None:
    return foretold.index(item_id) + 1 if item_id in foretold else None


def _quality(ranks: Sequence[int | None]) -> dict[str, float]:
    found, asked = [rank for rank in ranks if rank is not None], max(1, len(ranks))
    return {
        "asked": len(ranks),
        "recall_20": round(len(found) / asked, 4),
        "ndcg_10": round(sum(1 / log2(rank + 1) for rank in found if rank <= SCORED) / asked, 4),
        "mrr_20": round(sum(1 / rank for rank in found) / asked, 4),
    }
