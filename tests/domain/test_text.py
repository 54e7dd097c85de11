import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import SPACE, TextEncoder, Vector, WordCounts, words_of

GOLDEN_PLACES = [10, 44, 67, 121, 133, 253, 302, 338, 370, 372, 470]
GOLDEN_LARGEST = 0.4767
TITLES = ["RED RETROSPOT BAG", "RED RETROSPOT MUG", "RED SPACEBOY MUG", "SET OF 6 RED CANDLES"]


def cosine(first: Vector, second: Vector) -> float:
    return float(first @ second)


@given(st.text(max_size=200))
def test_a_vector_has_length_one_or_no_word_in_its_text(text: str) -> None:
    vector = TextEncoder().encode(text)

    assert vector.dtype == np.float32
    assert vector.shape == (512,)
    assert np.linalg.norm(vector) == pytest.approx(1.0 if words_of(text) else 0.0, abs=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "!?--+", "\n\t", "__"])
def test_a_text_without_words_has_no_direction(text: str) -> None:
    assert not TextEncoder(WordCounts.learn(TITLES)).encode(text).any()


def test_other_processes_make_the_same_vector() -> None:
    program = (
        "import sys; from domain.text import TextEncoder, WordCounts;"
        "counts = WordCounts.learn(sys.argv[2:]);"
        "sys.stdout.buffer.write(TextEncoder(counts).encode(sys.argv[1]).tobytes())"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", program, "Bol à thé, ROUGE", *TITLES],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    here = TextEncoder(WordCounts.learn(TITLES)).encode("Bol à thé, ROUGE").tobytes()
    assert made == [here, here]


def test_the_hash_is_what_it_was() -> None:
    """Stored vectors are compared with new ones: a change here needs a new name of the space."""
    vector = TextEncoder().encode("red mug")

    assert SPACE == "text-hash-1"
    assert np.flatnonzero(vector).tolist() == GOLDEN_PLACES
    assert float(np.abs(vector).max()) == pytest.approx(GOLDEN_LARGEST, abs=1e-4)


def test_words_are_the_same_in_any_case_accent_width_and_punctuation() -> None:
    encoder = TextEncoder()
    plain = encoder.encode("cafe creme bowl")

    for text in (
        "CAFÉ, CRÈME: bowl!",
        "Ｃａｆé crème (bowl)",
        unicodedata.normalize("NFD", "café crème bowl"),
    ):
        assert cosine(plain, encoder.encode(text)) == pytest.approx(1.0, abs=1e-6)


def test_scripts_without_spaces_are_near_by_their_letters() -> None:
    encoder = TextEncoder()
    query = encoder.encode("赤いマグカップ")

    assert cosine(query, encoder.encode("赤いマグカップ大")) > 0.1
    assert cosine(query, encoder.encode("青い椅子")) < 0.1


def test_inflected_and_misspelt_words_are_nearer_than_others() -> None:
    encoder = TextEncoder()
    tins = encoder.encode("cake tins")

    assert (
        cosine(tins, encoder.encode("cake tin")) > cosine(tins, encoder.encode("cake lamp")) + 0.05
    )
    assert cosine(encoder.encode("strawberry"), encoder.encode("strawbery")) > 0.1


def test_order_does_not_matter_and_repetition_matters_less_each_time() -> None:
    encoder = TextEncoder()
    once = encoder.encode("red mug")

    assert cosine(once, encoder.encode("mug red")) == pytest.approx(1.0, abs=1e-6)
    twice, often = encoder.encode("red red mug"), encoder.encode("red " * 9 + "mug")
    red = encoder.encode("red")
    assert cosine(once, red) < cosine(twice, red) < cosine(often, red) < 0.99


def test_a_rare_word_decides_more_than_a_common_one() -> None:
    plain, weighed = TextEncoder(), TextEncoder(WordCounts.learn(TITLES))

    def leaning(encoder: TextEncoder) -> float:
        """How much nearer the spaceboy is than the colour."""
        query = encoder.encode("red spaceboy")
        return cosine(query, encoder.encode("spaceboy")) - cosine(query, encoder.encode("red"))

    assert leaning(weighed) > leaning(plain) + 0.2


def test_a_word_in_every_text_still_has_a_weight() -> None:
    counts = WordCounts.learn(["bag"])

    assert counts.rarity("bag") > 0
    assert np.linalg.norm(TextEncoder(counts).encode("bag")) == pytest.approx(1.0)


def test_other_counts_are_another_space() -> None:
    learned = WordCounts.learn(TITLES)

    assert TextEncoder(learned).space == TextEncoder(WordCounts.learn(TITLES)).space
    assert TextEncoder(learned).space != TextEncoder(WordCounts.learn(TITLES[1:])).space
    assert TextEncoder().space == SPACE


def test_encoding_leaves_no_trace_in_shared_features() -> None:
    encoder = TextEncoder()
    before = encoder.encode("red mug")
    vector = encoder.encode("red")
    vector *= 0

    assert np.array_equal(encoder.encode("red mug"), before)
