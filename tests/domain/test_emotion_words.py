import pytest

from domain.emotion import FELT
from domain.emotion_words import LONG_STEM, STEMS, feeling_of, negates


@pytest.mark.parametrize(
    ("word", "feeling"),
    [
        ("furious", "anger"),
        ("revolting", "disgust"),
        ("terrified", "fear"),
        ("delightful", "joy"),
        ("lonely", "sadness"),
        ("astonishment", "surprise"),
    ],
)
def test_feelings_are_known_by_their_stems(word: str, feeling: str) -> None:
    at = feeling_of(word)
    assert at is not None
    assert FELT[at] == feeling


@pytest.mark.parametrize("word", ["made", "funeral", "a", "", "lamp", "hurts"])
def test_a_short_stem_stands_for_itself(word: str) -> None:
    assert feeling_of(word) is None


def test_no_stem_is_of_two_feelings() -> None:
    stems = [stem for label in FELT for stem in STEMS[label].split()]
    assert len(stems) == len(set(stems))
    assert any(len(stem) < LONG_STEM for stem in stems)


def test_negations() -> None:
    assert negates("not")
    assert negates("couldn't")
    assert not negates("paint")
