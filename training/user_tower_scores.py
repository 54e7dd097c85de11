"""How well queries find what users take next, beside what is known without any learning.

Every question asks for the items of an order that were still to come, among all items but those
that the order has already. Recall@200 is what a source of candidates is for, NDCG@20 says whether
its beginning is good. A query and another one are compared user by user.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from schemas.collections import USER_DIM
from training.user_tower_data import Floats, Items, Questions, Whole

NEAREST, FIRST = 200, 20
BATCH = 1_000
_DISCOUNT = 1 / np.log2(np.arange(2, FIRST + 2))

Queries = Callable[[Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Means over questions."""

    recall_200: float
    ndcg_20: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The nearest items of each question, and how many of those wanted are among them."""

    rows: Whole
    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]

    def quality(self, chosen: NDArray[np.bool_]) -> Quality:
        """Over some of the questions."""
        return Quality(recall_200=_mean(self.recall[chosen]), ndcg_20=_mean(self.ndcg[chosen]))


def embedding(told: Floats) -> Floats:
    """The streamed embedding as it is."""
    return told[:, :USER_DIM]


def taste(told: Floats) -> Floats:
    """The mean of the taste."""
    return told[:, USER_DIM : 2 * USER_DIM]


def both(told: Floats) -> Floats:
    """Half of each, with nothing learned."""
    return embedding(told) + taste(told)


UNLEARNED: Mapping[str, Queries] = {"embedding": embedding, "taste": taste, "both": both}


def found_by(queries: Queries, questions: Questions, items: Items, *, name: str) -> Found:
    """Ask every question by a query."""
    parts = range(0, len(questions), BATCH)
    rows = np.concatenate([_nearest(queries, questions, items, at) for at in track(parts, name)])
    return judged(rows, questions)


def popular(shares: Floats, questions: Questions) -> Found:
    """The same items for everybody."""
    most = max(map(len, questions.met))
    best = np.argsort(-shares, kind="stable")[: NEAREST + most]
    rows = [best[~np.isin(best, met)][:NEAREST] for met in questions.met]
    return judged(np.stack(rows), questions)


def together(one: Found, other: Found, questions: Questions) -> float:
    """Recall of both lists as one."""
    lists = zip(one.rows, other.rows, questions.wanted, strict=True)
    return _mean(np.array([np.isin(wanted, np.union1d(a, b)).mean() for a, b, wanted in lists]))


def judged(rows: Whole, questions: Questions) -> Found:
    """How good lists are.

    >>> asked = Questions(
    ...     told=np.zeros((1, 1), np.float16), users=np.zeros(1, np.uint32),
    ...     at_ms=np.zeros(1, np.int64), within=np.zeros(1, np.bool_),
    ...     wanted=(np.array([7, 9]),), met=(np.array([], np.int64),))
    >>> found = judged(np.array([[7, 8]]), asked)
    >>> found.recall.tolist(), found.ndcg.round(2).tolist()
    ([0.5], [0.61])
    """
    hits = [np.isin(row, wanted) for row, wanted in zip(rows, questions.wanted, strict=True)]
    most = [len(wanted) for wanted in questions.wanted]
    recall = [hit.sum() / min(count, NEAREST) for hit, count in zip(hits, most, strict=True)]
    ndcg = [
        (hit[:FIRST] * _DISCOUNT[: len(hit)]).sum() / _DISCOUNT[: min(FIRST, count)].sum()
        for hit, count in zip(hits, most, strict=True)
    ]
    return Found(rows=rows, recall=np.array(recall), ndcg=np.array(ndcg))


def gain(one: Found, other: Found, questions: Questions) -> tuple[float, float]:
    """How much recall the one has over the other: a mean over users, and its standard error."""
    difference = one.recall - other.recall
    _, whose = np.unique(questions.users, return_inverse=True)
    each = np.bincount(whose, difference) / np.bincount(whose)
    return _mean(each), round(float(each.std(ddof=1) / np.sqrt(len(each))), 4)


def _nearest(queries: Queries, questions: Questions, items: Items, at: int) -> Whole:
    asked = questions.told[at : at + BATCH].astype(np.float32)
    scores = queries(asked) @ items.vectors.T
    for row, met in zip(scores, questions.met[at : at + BATCH], strict=True):
        row[met] = -np.inf
    best = np.argpartition(-scores, NEAREST, axis=1)[:, :NEAREST]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(best, order, 1), np.int64)


def _mean(values: NDArray[np.float64] | Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)
