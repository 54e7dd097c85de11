"""Trains the user tower, from nothing but a file of purchases, and writes it with its card.

    python -m training.user_tower --purchases FILE              learn, write, score
    python -m training.user_tower --purchases FILE --score      score what is there, write its card

FILE has the form that `demo/data/README.md` tells. One core and some minutes. Seeds are fixed;
another processor rounds otherwise, and comes to a close model. What is learned from lies before
what is asked: 70 % of the period to learn from, the next 10 % to choose the best epoch by, the rest
only scores; a fifth of the users is never learned from at all.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from domain.user_tower import INPUTS, SCALARS
from schemas.collections import USER_DIM
from training.user_tower_card import card
from training.user_tower_data import (
    Bought,
    Floats,
    Items,
    Questions,
    Whole,
    items_of,
    questions_of,
    read_purchases,
    read_words,
    shares_of,
)
from training.user_tower_graph import HALF_FAMILIAR, STEEPNESS, user_tower
from training.user_tower_scores import UNLEARNED, Found, both, found_by, gain, popular, together

RELEASE = "user-tower-1"
ROOT = Path(__file__).parent.parent
MODEL_FILE = ROOT / "serving/models/user_tower/1/model.onnx"
WORDS = ROOT / "demo/data/words.json"
LEARNED_SHARE, CHOSEN_SHARE = 0.7, 0.8
HELD_OUT = 5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the tower is made."""

    seed: int = 1
    hidden: int = 128
    familiar: int = 64
    dropout: float = 0.6
    epochs: int = 14
    # So often each question is asked in an epoch, each time for one item of those wanted.
    wanted: int = 2
    batch: int = 512
    rate: float = 1e-3
    decay: float = 0.05
    temperature: float = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Questions by what they are for; `shares` are of what was bought in the time of learning."""

    learned: Questions
    chosen: Questions
    asked: Questions
    shares: Floats

    @classmethod
    def of(cls, questions: Questions, purchases: list[Bought], items: Items) -> "Split":
        """By time, and by users."""
        first, last = purchases[0].at_ms, purchases[-1].at_ms
        learned_ms, chosen_ms = (
            round(first + share * (last - first)) for share in (LEARNED_SHARE, CHOSEN_SHARE)
        )
        at_ms, seen = questions.at_ms, ~held_out(questions)
        return cls(
            learned=questions.some((at_ms < learned_ms) & seen),
            chosen=questions.some((at_ms >= learned_ms) & (at_ms < chosen_ms) & seen),
            asked=questions.some(at_ms >= chosen_ms),
            shares=shares_of(purchases, items, until_ms=learned_ms),
        )


def held_out(questions: Questions) -> NDArray[np.bool_]:
    """Questions of users who are never learned from."""
    return np.asarray(questions.users % HELD_OUT == 0, np.bool_)


class Tower(nn.Module):
    """A mix of the embedding and the taste, and what a small network adds where it is familiar."""

    familiar: Tensor

    def __init__(self, familiar: Floats, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Linear(len(SCALARS), 2)
        self.hidden = nn.Linear(INPUTS, hidden)
        self.adds = nn.Linear(hidden, USER_DIM)
        self.dropout = dropout
        self.register_buffer("familiar", torch.from_numpy(familiar))
        for layer in (self.mix, self.adds):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # Coordinates of unit vectors are small beside the scalars.
        self.hidden.weight.data[:, : 2 * USER_DIM] *= 5.0

    def forward(self, told: Tensor) -> Tensor:
        """Unit queries."""
        shares = self.mix(told[:, 2 * USER_DIM :]).exp()
        parts = shares[:, :1] * told[:, :USER_DIM]
        parts = parts + shares[:, 1:] * told[:, USER_DIM : 2 * USER_DIM]
        active = functional.relu(self.hidden(told))
        active = functional.dropout(active, self.dropout, self.training)
        mixed = functional.normalize(parts)
        familiarity = (mixed @ self.familiar.T).square().sum(1, keepdim=True)
        heeded = torch.sigmoid(STEEPNESS * (familiarity - HALF_FAMILIAR))
        return functional.normalize(mixed + heeded * self.adds(active))


def familiar_directions(told: NDArray[np.float16], *, count: int) -> Floats:
    """The orthogonal directions in which most of the mixes lie."""
    mixes = both(told.astype(np.float32))
    mixes /= np.linalg.norm(mixes, axis=1, keepdims=True)
    _, directions = np.linalg.eigh(mixes.T @ mixes)
    return np.ascontiguousarray(directions[:, : -count - 1 : -1].T, np.float32)


def learn(
    split: Split, items: Items, recipe: Recipe, *, say: Callable[[str], None] = print
) -> Tower:
    """Learn all epochs; what is given back is as it was after the best of them."""
    torch.manual_seed(recipe.seed)
    familiar = familiar_directions(split.learned.told, count=recipe.familiar)
    tower = Tower(familiar, hidden=recipe.hidden, dropout=recipe.dropout)
    optimizer = torch.optim.AdamW(
        tower.parameters(), lr=recipe.rate, weight_decay=recipe.decay, fused=True
    )
    chance = np.random.default_rng(recipe.seed)
    vectors, logs = torch.from_numpy(items.vectors), torch.from_numpy(np.log(split.shares))
    told = torch.from_numpy(split.learned.told)
    best, kept = -1.0, tower.state_dict()
    for epoch in range(recipe.epochs):
        tower.train()
        batches = list(_batches(split.learned, recipe, chance))
        for number, (rows, wanted) in enumerate(track(batches, f"epoch {epoch + 1}")):
            share = (epoch + number / len(batches)) / recipe.epochs
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * max(0.02, 1.0 - share)
            loss = in_batch_loss(
                tower(told[rows].float()), vectors[wanted], logs[wanted], wanted, recipe
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        recall = found_by(queries_of(tower), split.chosen, items, name="choosing").recall.mean()
        say(f"epoch {epoch + 1}: recall@200 {recall:.4f} on what the epoch is chosen by")
        if recall > best:
            best = recall
            kept = {name: value.clone() for name, value in tower.state_dict().items()}
    tower.load_state_dict(kept)
    tower.eval()
    return tower


def in_batch_loss(
    queries: Tensor, vectors: Tensor, logs: Tensor, wanted: Tensor, recipe: Recipe
) -> Tensor:
    """Each query against the items that the others want.

    A popular item stands among the others more often, which would count against it: its share is
    taken off, so the outcome is as if each stood there once.
    """
    logits = queries @ vectors.T / recipe.temperature - logs
    same = (wanted[:, None] == wanted[None]).fill_diagonal_(False)  # noqa: FBT003 (as torch has it)
    right = torch.arange(len(queries))
    return functional.cross_entropy(logits.masked_fill(same, -1e4), right)


def _batches(
    questions: Questions, recipe: Recipe, chance: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Questions in any order, each with one of the items that are wanted."""
    order = np.concatenate([chance.permutation(len(questions)) for _ in range(recipe.wanted)])
    for at in range(0, len(order) - recipe.batch + 1, recipe.batch):
        rows: Whole = order[at : at + recipe.batch]
        wanted = np.array([chance.choice(questions.wanted[row]) for row in rows])
        yield torch.from_numpy(rows), torch.from_numpy(wanted)


def queries_of(tower: Tower) -> Callable[[Floats], Floats]:
    """The tower as a function of arrays."""

    def queries(told: Floats) -> Floats:
        tower.eval()
        with torch.no_grad():
            found: Floats = tower(torch.from_numpy(told)).numpy()
        return found

    return queries


def content_of(tower: Tower, items: Items) -> bytes:
    """The file's content."""
    weights = {name: value.numpy() for name, value in tower.state_dict().items()}
    properties = {"release": RELEASE, "space": items.space, "scalars": ",".join(SCALARS)}
    return user_tower(weights, properties=properties)


def scored(file: Path, split: Split, items: Items) -> dict[str, object]:
    """What the file finds, beside what is known without it, on what nothing was learned from."""
    asked = split.asked
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])

    def tower(told: Floats) -> Floats:
        (queries,) = session.run(["QUERY"], {"INPUT": told})
        return np.asarray(queries, np.float32)

    ways = {**UNLEARNED, "tower": tower}
    found = {name: found_by(way, asked, items, name=name) for name, way in ways.items()}
    found["popular"] = popular(split.shares, asked)
    return {
        "questions": len(asked),
        "learned": len(split.learned),
        "items": len(items.ids),
        "space": items.space,
        "groups": _groups(found, asked),
        "both_lists": {
            name: together(found[name], found["taste"], asked) for name in ("embedding", "tower")
        },
        "gain": {
            name: dict(
                zip(("mean", "error"), gain(found["tower"], found[name], asked), strict=True)
            )
            for name in found
            if name != "tower"
        },
    }


def _groups(found: dict[str, Found], asked: Questions) -> dict[str, object]:
    new = held_out(asked)
    groups = {
        "known users, before an order": ~new & ~asked.within,
        "known users, within an order": ~new & asked.within,
        "new users, before an order": new & ~asked.within,
        "new users, within an order": new & asked.within,
    }
    return {
        title: {
            "questions": int(chosen.sum()),
            **{name: asdict(one.quality(chosen)) for name, one in found.items()},
        }
        for title, chosen in groups.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Learn and write, or only score what was written."""
    chosen = _arguments(arguments)
    torch.set_num_threads(1)
    purchases = read_purchases(chosen.purchases)
    items = items_of(purchases, read_words(chosen.words))
    split = Split.of(questions_of(purchases, items), purchases, items)
    if not chosen.score:
        chosen.file.parent.mkdir(parents=True, exist_ok=True)
        chosen.file.write_bytes(content_of(learn(split, items, Recipe()), items))
    _tell(chosen.file, scored(chosen.file, split, items))


def _tell(file: Path, scores: dict[str, object]) -> None:
    """Write scores and card beside the file, so that they are of one kind."""
    content = file.read_bytes()
    told = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), **scores}
    written = json.dumps(told, indent=2)
    (file.parent.parent / "scores.json").write_text(f"{written}\n", encoding="utf-8")
    (file.parent.parent / "card.md").write_text(card(told), encoding="utf-8")
    print(written)  # noqa: T201 - it is what the command is for


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--purchases", type=Path, required=True, help="CSV, perhaps in gzip")
    parser.add_argument("--words", type=Path, default=WORDS, help="of `freshet catalog words`")
    parser.add_argument("--file", type=Path, default=MODEL_FILE, help="where the model is written")
    parser.add_argument("--score", action="store_true", help="only score the file, and tell")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
