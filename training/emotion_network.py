"""The two parts of the emotion classifier as they are trained, from nothing, in torch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from domain.emotion_text import PHRASE_ROWS, WORD_ROWS, Read
from training.emotion_graph import AXES_COUNT, LABELS_COUNT

FINE_COUNT = 28
Whole = NDArray[np.int64]
Told = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts in rows of tables, one after another: parts of words, words of texts, phrases."""

    parts: Whole
    parts_of_word: Whole
    words_of_text: Whole
    phrases: Whole
    phrases_of_text: Whole

    @classmethod
    def of(cls, reads: list[Read]) -> "Texts":
        """Texts as the reader gives them."""
        words = [word for read in reads for word in read.words]
        return cls(
            parts=_joined(words),
            parts_of_word=_counts(words),
            words_of_text=_counts([read.words for read in reads]),
            phrases=_joined([read.phrases for read in reads]),
            phrases_of_text=_counts([read.phrases for read in reads]),
        )

    def __len__(self) -> int:
        return len(self.words_of_text)

    def some(self, rows: Whole) -> "Texts":
        """Only these texts."""
        words = _inside(self.words_of_text, rows)
        return Texts(
            parts=self.parts[_inside(self.parts_of_word, words)],
            parts_of_word=self.parts_of_word[words],
            words_of_text=self.words_of_text[rows],
            phrases=self.phrases[_inside(self.phrases_of_text, rows)],
            phrases_of_text=self.phrases_of_text[rows],
        )

    def spoken(self) -> Whole:
        """Rows of the texts that have a word."""
        return np.flatnonzero(self.words_of_text)


def _joined(rows: list[list[int]]) -> Whole:
    return np.array([one for row in rows for one in row], np.int64)


def _counts(rows: list[list[int]] | list[list[list[int]]]) -> Whole:
    return np.array([len(row) for row in rows], np.int64)


def _begins(counts: Whole) -> Whole:
    return np.subtract(np.cumsum(counts), counts, dtype=np.int64)


def _inside(counts: Whole, rows: Whole) -> Whole:
    """Places of all that belongs to some rows, of which each holds so many."""
    chosen = counts[rows]
    shift = _begins(counts)[rows] - _begins(chosen)
    within: Whole = np.arange(chosen.sum(), dtype=np.int64)
    return np.asarray(within + np.repeat(shift, chosen), np.int64)


class Counted(nn.Module):
    """What words, runs of letters and phrases say, each on its own: a sum of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORD_ROWS, LABELS_COUNT)
        self.phrases = nn.Embedding(PHRASE_ROWS, LABELS_COUNT)
        self.bias = nn.Parameter(torch.full((LABELS_COUNT,), -3.0))
        nn.init.zeros_(self.words.weight)
        nn.init.zeros_(self.phrases.weight)

    def forward(self, texts: Texts) -> Told:
        """Logits of the labels; nothing of fine labels and axes."""
        parts = np.add.reduceat(texts.parts_of_word, _begins(texts.words_of_text))
        words = _sums(self.words, texts.parts, parts)
        phrases = _sums(self.phrases, texts.phrases, texts.phrases_of_text)
        size = torch.from_numpy(parts + texts.phrases_of_text).float()[:, None]
        labels = (words + phrases) / size.sqrt() + self.bias
        return labels, labels.new_zeros(0, FINE_COUNT), labels.new_zeros(0, AXES_COUNT)


def _sums(table: nn.Embedding, rows: Whole, counts: Whole, weights: Tensor | None = None) -> Tensor:
    return functional.embedding_bag(
        torch.from_numpy(rows),
        table.weight,
        torch.from_numpy(_begins(counts)),
        mode="sum",
        per_sample_weights=weights,
    )


class Heard(nn.Module):
    """Words in their order, each with its neighbours: two convolutions, and what stands out."""

    def __init__(self, *, width: int = 64, hidden: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        self.dropout = dropout
        self.words = nn.Embedding(WORD_ROWS, width)
        self.near = nn.Conv1d(width, hidden, 3, padding=1)
        self.wide = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.asked = nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(3 * hidden, LABELS_COUNT + AXES_COUNT + FINE_COUNT)
        nn.init.normal_(self.words.weight, std=0.2)
        nn.init.constant_(self.head.bias, -2.0)
        self.head.bias.data[LABELS_COUNT : LABELS_COUNT + AXES_COUNT] = 0.0
        # The row that fills up has to stay nothing.
        self.words.weight.data[0] = 0.0

    def forward(self, texts: Texts) -> Told:
        """Logits of the labels and of the fine labels, and the axes."""
        lengths = torch.from_numpy(texts.words_of_text)
        there = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        line = self._line(self._words(texts), there)
        near = functional.relu(self.near(line)) * there[:, None]
        wide = functional.relu(self.wide(self._dropped(near, 0.5))) * there[:, None]
        shares = self.asked(wide.transpose(1, 2))[..., 0].masked_fill(~there, -1e4).softmax(1)
        said = torch.cat([(wide * shares[:, None]).sum(2), near.amax(2), wide.amax(2)], 1)
        told = self.head(self._dropped(said, 1.0))
        end = LABELS_COUNT + AXES_COUNT
        return told[:, :LABELS_COUNT], told[:, end:], told[:, LABELS_COUNT:end]

    def _words(self, texts: Texts) -> Tensor:
        """A vector for each word, of its parts; in training some parts and some words are lost."""
        counts = torch.from_numpy(texts.parts_of_word)
        weights = counts.float().rsqrt()
        if self.training:
            weights = weights * (torch.rand(len(counts)) > self.dropout / 4)
        each = weights.repeat_interleave(counts)
        if self.training:
            each = each * (torch.rand(len(each)) > self.dropout / 3)
        return self._dropped(_sums(self.words, texts.parts, texts.parts_of_word, each), 0.75)

    def _line(self, words: Tensor, there: Tensor) -> Tensor:
        empty = words.new_zeros(*there.shape, words.shape[1])
        return empty.masked_scatter(there[..., None].expand_as(empty), words).transpose(1, 2)

    def _dropped(self, values: Tensor, share: float) -> Tensor:
        return functional.dropout(values, self.dropout * share, self.training)
