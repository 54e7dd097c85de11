from pathlib import Path

import numpy as np
import onnx
import pytest

from domain.emotion import LABELS, Label
from operators.text_emotion import (
    MODEL_FILE,
    EmotionModelError,
    TextClassifier,
    emotion_of,
)


@pytest.fixture(scope="module")
def classify() -> TextClassifier:
    return TextClassifier()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this lamp, it makes me so happy! Thank you", "joy"),
        ("This makes me furious, what an outrageous rip-off", "anger"),
        ("I am terrified that it will catch fire", "fear"),
        ("So sad, I cried when the vase arrived broken", "sadness"),
        ("Wow, I did not expect that at all!", "surprise"),
        ("That is disgusting, it smells vile", "disgust"),
        ("The parcel has four boxes", "neutral"),
    ],
)
def test_plain_sentences_are_read(classify: TextClassifier, text: str, label: Label) -> None:
    read = classify(text)
    assert read is not None
    assert read.label == label


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("i love it", "I LOVE IT"),
        ("i love it", "[NAME] i love it https://example.org"),
        ("it\u2019s great", "it's great"),
    ],
)
def test_what_says_nothing_changes_nothing(classify: TextClassifier, one: str, other: str) -> None:
    assert classify(one) == classify(other)


def test_a_stretched_word_changes_little(classify: TextClassifier) -> None:
    plain, stretched = classify("this is very good"), classify("this is veryyyyyy goooood")
    assert plain is not None
    assert stretched is not None
    assert stretched.named == plain.named == ("joy",)
    assert stretched.valence == pytest.approx(plain.valence, abs=0.2)


@pytest.mark.parametrize("text", ["", "   ", "[NAME]", "https://example.org", "\u200d"])
def test_no_word_says_nothing(classify: TextClassifier, text: str) -> None:
    assert classify(text) is None


@pytest.mark.parametrize(
    "text",
    ["\x00\uffff", "\u4f60\u597d", "a" * 100_000, "ha " * 30_000, "\ud800", "\U0001f621" * 500],
)
def test_any_text_is_read(classify: TextClassifier, text: str) -> None:
    read = classify(text)
    if read is not None:
        assert sum(read.shares) == pytest.approx(1.0)
        assert 0 <= read.confidence <= 1
        assert -1 <= read.valence <= 1


def test_valence_is_that_of_the_words(classify: TextClassifier) -> None:
    good, bad = classify("a wonderful, lovely day"), classify("a horrible, painful day")
    assert good is not None
    assert bad is not None
    assert good.valence > 0.2
    assert bad.valence < -0.2


def test_a_text_is_read_the_same_whatever_was_read_before(classify: TextClassifier) -> None:
    alone = TextClassifier(cached_texts=0)
    for text in ("awful!", "a quite ordinary sentence about a chair", "yes", "awful!"):
        assert alone(text) == classify(text)


def test_only_so_many_texts_are_remembered() -> None:
    classify = TextClassifier(cached_texts=2)
    first = classify("good")
    for text in ("bad", "ugly"):
        classify(text)
    assert classify("ugly") is classify("ugly")
    assert classify("good") is not first
    assert classify("good") == first


def test_the_label_is_the_one_furthest_above_its_threshold() -> None:
    chances = np.array([0.3, 0.3, 0.0, 0.5, 0.0, 0.0, 0.0], np.float32)
    read = emotion_of(
        chances, np.zeros(3, np.float32), thresholds=[0.5, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5]
    )
    assert read.label == "disgust"
    assert read.named == ("disgust", "joy")
    assert read.confidence == pytest.approx(0.3)
    assert read.shares == pytest.approx((0.3 / 1.1, 0.3 / 1.1, 0, 0.5 / 1.1, 0, 0, 0))


def test_a_missing_file_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(EmotionModelError, match=r"isn't there; make it with python -m training"):
        TextClassifier(tmp_path / "model.onnx")


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = onnx.load(str(MODEL_FILE))
    next(told for told in model.metadata_props if told.key == "labels").value = "good,bad"
    other = tmp_path / "other.onnx"
    other.write_bytes(model.SerializeToString())
    with pytest.raises(EmotionModelError, match=f"has labels 'good,bad', expected '{LABELS[0]},"):
        TextClassifier(other)
