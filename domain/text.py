"""Item vectors from item text, offline: hashed words and their letters, weighted by rarity.

Each word gives one feature for itself and one for each run of 3 and 4 letters in it, so that TIN
and TINS are near. A feature adds its weight, with a sign, at a place of the vector; place and sign
come from a hash of the feature, so every process makes the same vector without a vocabulary.
Rare words say more than common ones; how rare a word is comes from `WordCounts`, learned from a
catalogue and kept in a file, so that items that arrive later live in the same space.

Measured on the shop's history that ships with the project (next order of 400 users from the mean
vector of what they bought before, 1,000 items, recall@20): 0.343 with rarity, 0.314 without
(the difference has a standard error of 0.007), popularity 0.122. Letters don't change it (0.341
without them); they are for words that are misspelt, inflected, or written without spaces.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from schemas.collections import MODALITY_DIM

Vector = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]

SPACE = "text-hash-1"
RUN_LENGTHS = (3, 4)
LETTERS_SHARE = 1.0
KNOWN_WORDS = 20_000

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class WordCounts:
    """In how many of `texts` texts each word stands."""

    texts: int
    words: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "WordCounts":
        """Count the words of a catalogue.

        >>> WordCounts.learn(["red bag", "red mug"]).words["red"]
        2
        """
        count, words = 0, Counter[str]()
        for text in texts:
            count += 1
            words.update(set(words_of(text)))
        return cls(count, dict(sorted(words.items())))

    def rarity(self, word: str) -> float:
        """Weigh a word: the more texts have it, the less; a new word weighs most.

        >>> counts = WordCounts.learn(["red bag", "red mug"])
        >>> counts.rarity("red") < counts.rarity("mug") < counts.rarity("lamp")
        True
        """
        return math.log1p(self.texts / (1 + self.words.get(word, 0)))

    def fingerprint(self) -> str:
        """Name the counts: other counts, another space."""
        listed = ",".join(f"{word}={self.words[word]}" for word in sorted(self.words))
        return blake2b(f"{self.texts};{listed}".encode(), digest_size=4).hexdigest()


class TextEncoder:
    """Makes unit vectors of texts; without counts every word weighs the same.

    >>> encoder = TextEncoder()
    >>> bags = encoder.encode("Jumbo bag, red"), encoder.encode("RED JUMBO BAGS")
    >>> float(bags[0] @ bags[1]) > 0.7
    True
    """

    def __init__(self, counts: WordCounts | None = None) -> None:
        self._counts = counts

    @property
    def space(self) -> str:
        """Which vectors these are comparable with."""
        return f"{SPACE}:{self._counts.fingerprint()}" if self._counts else SPACE

    def encode(self, text: str) -> Vector:
        """Make the vector of a text: of length 1, or all zeros if it has no word."""
        vector = np.zeros(MODALITY_DIM, np.float32)
        for word, times in Counter(words_of(text)).items():
            places, values = _features(word)
            vector[places] += self._weight(word, times) * values
        length = math.sqrt(float(vector @ vector))
        return vector / np.float32(length) if length else vector

    def _weight(self, word: str, times: int) -> np.float32:
        rarity = self._counts.rarity(word) if self._counts else 1.0
        return np.float32(rarity * (1.0 + math.log(times)))


def words_of(text: str) -> list[str]:
    """The words of a text, without case, accents and punctuation.

    >>> words_of("Café au lait: 2 BOWLS")
    ['cafe', 'au', 'lait', '2', 'bowls']
    """
    folded = unicodedata.normalize("NFKD", text).casefold()
    return _WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))


@lru_cache(KNOWN_WORDS)
def _features(word: str) -> tuple[Places, Vector]:
    """Where a word adds what; shared, so not to be changed."""
    added: dict[int, float] = {}
    for feature, value in _weighed(word):
        number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
        place = (number >> 1) % MODALITY_DIM
        added[place] = added.get(place, 0.0) + (value if number & 1 else -value)
    return np.array(list(added), np.intp), np.array(list(added.values()), np.float32)


def _weighed(word: str) -> Iterator[tuple[str, float]]:
    """All letter runs of a word together are as long as `LETTERS_SHARE` of the word itself."""
    yield f"word {word}", 1.0
    edged = f"<{word}>"
    runs = [edged[at : at + n] for n in RUN_LENGTHS for at in range(len(edged) - n + 1)]
    for run in runs:
        yield f"run {run}", LETTERS_SHARE / math.sqrt(len(runs))
