"""Trains the emotion classifier, from nothing but DIR, and writes it with its card.

    python -m training.emotion --data DIR              train, tune, write, score
    python -m training.emotion --data DIR --score      score what ships, write its card

DIR holds goemotions/, emobank/ and lexicons/. One core and some minutes; after each epoch what was
learned is kept, and a run that was stopped goes on from there. Seeds are fixed; another processor
rounds otherwise, and comes to a close model.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from domain.emotion import LABELS
from domain.emotion_text import Read, Reader
from operators.text_emotion import MODEL_FILE, TextClassifier, inputs_of
from training.emotion_card import card
from training.emotion_data import (
    Labelled,
    Rated,
    read_emobank,
    read_goemotions,
    read_lexicon,
    read_valences,
)
from training.emotion_graph import Blend, Floats, Weights, emotion_model
from training.emotion_network import Counted, Heard, Texts, Told, Whole
from training.emotion_scores import Scores, best_thresholds, calibration, score

RELEASE = "emotion-2"
CHECKPOINTS = Path(".freshet/emotion")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a part is learned."""

    seed: int
    epochs: int
    batch: int
    rate: float
    averaging: float
    decay: float = 0.0
    rated: bool = True


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the classifier is made."""

    seed: int = 1
    held_out: float = 0.1
    counted: Pace = Pace(seed=1, epochs=3, batch=256, rate=0.02, averaging=0.995, rated=False)
    heard: tuple[Pace, ...] = (
        Pace(seed=1, epochs=6, batch=128, rate=3e-3, averaging=0.995, decay=0.02),
    )
    warm_up: float = 0.06
    smoothing: float = 0.04
    rare_power: float = 0.35
    fine_weight: float = 2.0
    axes_weight: float = 2.0
    words_weight: float = 0.3


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """Everything that is learned from, in rows of tables."""

    valences: Mapping[str, int]
    reads: list[Read]
    texts: Texts
    labels: Tensor
    fine: Tensor
    rated: Texts
    rated_axes: Tensor
    words: Texts
    words_axes: Tensor
    learned: Whole
    held_out: Whole

    @classmethod
    def of(
        cls,
        valences: Mapping[str, int],
        labelled: Labelled,
        rated: Rated,
        words: Rated,
        recipe: Recipe,
    ) -> "Corpus":
        """Read all texts, and set some aside for tuning; those without a word are left out."""
        read = Reader(valences).read
        reads = [read(text) for text in labelled.texts]
        texts = Texts.of(reads)
        order = np.random.default_rng(recipe.seed).permutation(texts.spoken())
        aside = int(recipe.held_out * len(order))
        return cls(
            valences=valences,
            reads=reads,
            texts=texts,
            labels=torch.from_numpy(labelled.labels),
            fine=torch.from_numpy(labelled.fine),
            rated=Texts.of([read(text) for text in rated.texts]),
            rated_axes=torch.from_numpy(rated.axes),
            words=Texts.of([read(text) for text in words.texts]),
            words_axes=torch.from_numpy(words.axes),
            learned=order[aside:],
            held_out=order[:aside],
        )


@dataclass(kw_only=True, eq=False)
class Training:
    """A part on its way; `average` follows it slowly and is what ships."""

    network: nn.Module
    pace: Pace
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    chance: np.random.Generator
    epoch: int = 0
    step: int = 0

    @classmethod
    def begin(cls, make: Callable[[], nn.Module], pace: Pace) -> "Training":
        """Start from nothing."""
        torch.manual_seed(pace.seed)
        network = make()
        return cls(
            network=network,
            pace=pace,
            average={name: value.clone() for name, value in network.state_dict().items()},
            optimizer=torch.optim.AdamW(
                network.parameters(),
                lr=pace.rate,
                betas=(0.9, 0.98),
                weight_decay=pace.decay,
                fused=True,
            ),
            chance=np.random.default_rng(pace.seed),
        )

    def save(self, file: Path) -> None:
        """Keep everything after an epoch."""
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "pace": asdict(self.pace),
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
        if kept["pace"] != asdict(self.pace):
            raise ValueError(
                f"{file} was trained as {kept['pace']}, and now it is {asdict(self.pace)}; "
                "delete it, and train from the beginning"
            )
        self.network.load_state_dict(kept["network"])
        self.average = kept["average"]
        self.optimizer.load_state_dict(kept["optimizer"])
        self.chance.bit_generator.state = json.loads(kept["chance"])
        torch.set_rng_state(kept["torch_chance"])
        self.epoch, self.step = kept["epoch"], kept["step"]

    def weights(self) -> Weights:
        """What ships, by name."""
        return {name: value.numpy() for name, value in self.average.items()}


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
    pace = training.pace
    steps = pace.epochs * (len(corpus.learned) // pace.batch + 1)
    while training.epoch < (pace.epochs if until is None else until):
        batches = list(_batches(corpus, pace, training.chance))
        for batch in track(batches, f"{checkpoint.stem}, epoch {training.epoch + 1}"):
            _learn(training, corpus, batch, recipe, share=training.step / steps)
        training.epoch += 1
        training.save(checkpoint)


def _batches(corpus: Corpus, pace: Pace, chance: np.random.Generator) -> Iterator[Whole]:
    """Texts of like length together, so that little is filled up; batches in any order."""
    order = chance.permutation(corpus.learned)
    batches: list[Whole] = []
    for at in range(0, len(order), 20 * pace.batch):
        block = order[at : at + 20 * pace.batch]
        block = block[np.argsort(corpus.texts.words_of_text[block], kind="stable")]
        batches += [block[begin : begin + pace.batch] for begin in range(0, len(block), pace.batch)]
    yield from (batches[at] for at in chance.permutation(len(batches)))


def _learn(
    training: Training, corpus: Corpus, batch: Whole, recipe: Recipe, *, share: float
) -> None:
    rate = training.pace.rate * min((share + 1e-3) / recipe.warm_up, max(0.02, 1.0 - share))
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    loss = _labels_loss(training, corpus, batch, recipe)
    if training.pace.rated:
        loss = loss + _axes_loss(training, corpus, recipe)
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(training.network.parameters(), 1.0)
    training.optimizer.step()
    training.step += 1
    _follow(training)


def _follow(training: Training) -> None:
    """Move the average; early on it follows fast."""
    keep = min(training.pace.averaging, training.step / (training.step + 10))
    for name, value in training.network.state_dict().items():
        training.average[name].lerp_(value, 1.0 - keep)


def _labels_loss(training: Training, corpus: Corpus, batch: Whole, recipe: Recipe) -> Tensor:
    told: Told = training.network(corpus.texts.some(batch))
    rows = torch.from_numpy(batch)
    loss = _against(told[0], corpus.labels, rows, recipe)
    if len(told[1]):
        loss = loss + recipe.fine_weight * _against(told[1], corpus.fine, rows, recipe)
    return loss


def _against(logits: Tensor, targets: Tensor, rows: Tensor, recipe: Recipe) -> Tensor:
    """Rare labels weigh more; no label is told to be quite certain."""
    often = targets.mean(0)
    weights = (((1 - often) / often) ** recipe.rare_power).clamp(1.0, 10.0)
    softened = targets[rows] * (1 - recipe.smoothing) + recipe.smoothing * often / 2
    return functional.binary_cross_entropy_with_logits(logits, softened, pos_weight=weights)


def _axes_loss(training: Training, corpus: Corpus, recipe: Recipe) -> Tensor:
    """Every fourth step sentences with ratings, every fourth words; other steps neither."""
    if training.step % 4 == 0:
        weight, texts, axes = recipe.axes_weight, corpus.rated, corpus.rated_axes
    elif training.step % 4 == 2:
        weight, texts, axes = recipe.words_weight, corpus.words, corpus.words_axes
    else:
        return torch.zeros(())
    rows = training.chance.choice(texts.spoken(), training.pace.batch // 2)
    told: Told = training.network(texts.some(rows))
    wanted = axes[torch.from_numpy(rows)]
    known = ~wanted.isnan()
    return weight * functional.mse_loss(told[2][known], wanted[known])


def finished_model(counted: Weights, heard: Sequence[Weights], corpus: Corpus) -> bytes:
    """The file's content; parts are blended, and thresholds set, on texts held out."""
    told = {
        "release": RELEASE,
        "labels": ",".join(LABELS),
        "valences": "\n".join(f"{word} {valence}" for word, valence in corpus.valences.items()),
    }
    draft = emotion_model(counted, heard, blend=None, properties={}).SerializeToString()
    logits = _logits(draft, [corpus.reads[row] for row in corpus.held_out])
    right = corpus.labels[torch.from_numpy(corpus.held_out)].numpy() > 0
    slopes, offsets = calibration(logits, right)
    chances = 1 / (1 + np.exp(-((logits * slopes).sum(1) + offsets)))
    thresholds = best_thresholds(chances, right)
    told["thresholds"] = ",".join(f"{threshold:.4f}" for threshold in thresholds)
    model = emotion_model(
        counted, heard, blend=Blend(slopes=slopes, offsets=offsets), properties=told
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _logits(model: bytes, reads: Sequence[Read]) -> Floats:
    """What each part says of each text: [text, part, label]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rows = [session.run(["LOGITS"], inputs_of(read))[0] for read in track(reads, "texts held out")]
    return np.array(rows, np.float32)


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
    _tell(chosen.file, score_file(chosen.file, chosen.data))


def _tell(file: Path, scores: Scores) -> None:
    """Write scores and card beside the file, so that they are of one kind."""
    content = file.read_bytes()
    told = {"sha256": hashlib.sha256(content).hexdigest(), **asdict(scores)}
    written = json.dumps(told, indent=2)
    (file.parent.parent / "scores.json").write_text(f"{written}\n", encoding="utf-8")
    described = card(scores, size=len(content))
    (file.parent.parent / "card.md").write_text(described, encoding="utf-8")
    print(written)  # noqa: T201 - it is what the command is for


def _make(chosen: argparse.Namespace, recipe: Recipe) -> bytes:
    corpus = Corpus.of(
        read_valences(chosen.data / "lexicons"),
        read_goemotions(chosen.data / "goemotions", "train"),
        read_emobank(chosen.data / "emobank", "train"),
        read_lexicon(chosen.data / "lexicons"),
        recipe,
    )
    counted = _learned(Counted, recipe.counted, corpus, recipe, chosen.checkpoints / "counted.pt")
    heard = [
        _learned(Heard, pace, corpus, recipe, chosen.checkpoints / f"heard-{pace.seed}.pt")
        for pace in recipe.heard
    ]
    return finished_model(counted, heard, corpus)


def _learned(
    make: Callable[[], nn.Module], pace: Pace, corpus: Corpus, recipe: Recipe, checkpoint: Path
) -> Weights:
    training = Training.begin(make, pace)
    if checkpoint.exists():
        training.resume(checkpoint)
    train(training, corpus, recipe, checkpoint=checkpoint)
    return training.weights()


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="goemotions, emobank, lexicons")
    parser.add_argument("--file", type=Path, default=MODEL_FILE, help="where the model is written")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--score", action="store_true", help="only score the file, and tell")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
