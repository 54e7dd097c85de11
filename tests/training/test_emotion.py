import hashlib
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from domain.emotion import LABELS
from domain.emotion_text import Reader
from operators.text_emotion import MODEL_FILE, TextClassifier, inputs_of, valences_of
from training.emotion_data import (
    GROUPS,
    Labelled,
    Rated,
    grouping,
    read_emobank,
    read_goemotions,
    read_lexicon,
    read_valences,
)
from training.emotion_graph import Blend, emotion_model, quantized
from training.emotion_scores import best_thresholds, calibration, calibration_error, score

ENTRY = MODEL_FILE.parent.parent
NAMES = "anger disgust fear joy sadness surprise neutral grief"


def told() -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(MODEL_FILE)).metadata_props}


def test_the_scores_are_those_of_the_file_that_ships() -> None:
    scores = json.loads((ENTRY / "scores.json").read_text(encoding="utf-8"))
    assert scores["sha256"] == hashlib.sha256(MODEL_FILE.read_bytes()).hexdigest(), (
        "scores.json is of another model.onnx; run python -m training.emotion, which writes both"
    )


def test_the_file_that_ships_is_good_enough_and_small_enough() -> None:
    scores = json.loads((ENTRY / "scores.json").read_text(encoding="utf-8"))
    assert scores["macro_f1"] >= 0.55
    assert scores["calibration_error"] <= 0.1
    assert sum(file.stat().st_size for file in ENTRY.rglob("*") if file.is_file()) <= 10_000_000


def test_the_card_tells_the_scores_of_the_file() -> None:
    scores = json.loads((ENTRY / "scores.json").read_text(encoding="utf-8"))
    card = (ENTRY / "card.md").read_text(encoding="utf-8")
    assert f"{scores['macro_f1']:.3f}" in card
    for label in LABELS:
        assert f"| {label} | {scores['f1'][label]:.3f} |" in card


def test_the_file_says_its_labels_and_the_valence_of_words() -> None:
    assert told()["labels"].split(",") == list(LABELS)
    assert len(told()["thresholds"].split(",")) == len(LABELS)
    valences = valences_of(told()["valences"])
    assert len(valences) > 7_000
    assert valences["happy"] > 0 > valences["angry"]
    assert max(map(abs, valences.values())) <= 8


def test_what_fills_a_line_up_is_not_heard() -> None:
    session = onnxruntime.InferenceSession(str(MODEL_FILE), providers=["CPUExecutionProvider"])
    asked = inputs_of(Reader({}).read("what a lovely surprise"))
    wider = asked | {"WORDS": np.pad(asked["WORDS"], ((0, 0), (0, 9)))}
    for alone, filled in zip(session.run(None, asked), session.run(None, wider), strict=True):
        assert alone == pytest.approx(filled, abs=1e-5)


def test_the_model_server_has_a_number_for_each_label() -> None:
    config = (ENTRY / "config.pbtxt").read_text(encoding="utf-8")
    for name in ("NAMED", "SHARES"):
        said = config[config.index(f'name: "{name}"') :].split("}")[0]
        assert f"dims: [ {len(LABELS)} ]" in said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text(NAMES.replace(" ", "\n"))
    (tmp_path / "train.tsv").write_text("I cried\t4,7\tx1\nso it is\t6\tx2\n")
    (tmp_path / "emobank.csv").write_text(
        'id,split,V,A,D,text\na,train,4.0,3.5,3.0,"well, ""good"""\nb,test,1.0,1.0,1.0,bad\n'
    )
    (tmp_path / "vader_lexicon.txt").write_text("awful\t-2.0\t0.1\t[1]\n:)\t2.0\t0\t[2]\n\n")
    (tmp_path / "AFINN-en-165.txt").write_text("awful\t-3\ngood\t3\nno fun\t-3\nmeh\t0\n")
    return tmp_path


def test_labels_are_grouped(folder: Path) -> None:
    read = read_goemotions(folder, "train")
    assert read.texts == ["I cried", "so it is"]
    assert read.fine.sum(1).tolist() == [2, 1]
    assert read.labels.tolist() == [[0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1]]


def test_every_fine_label_is_in_one_group() -> None:
    names = " ".join(GROUPS.values()).split()
    assert len(names) == len(set(names)) == 28
    assert grouping(names).sum(1).tolist() == [1] * 28


def test_ratings_are_about_zero(folder: Path) -> None:
    rated = read_emobank(folder, "train")
    assert rated.texts == ['well, "good"']
    assert rated.axes.tolist() == [[1.0, 0.5, 0.0]]


def test_words_rate_valence_alone(folder: Path) -> None:
    words = read_lexicon(folder)
    assert words.texts == ["awful", ":)"]
    assert words.axes[0, 0] == pytest.approx(-0.8)
    assert np.isnan(words.axes[0, 1:]).all()


def test_single_words_are_good_in_halves_by_vader_and_else_by_afinn(folder: Path) -> None:
    assert read_valences(folder) == {"awful": -4, "good": 5}


def test_missing_data_says_where_it_was_looked_for(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dev\.tsv nor .*dev\.tsv\.zst is there; --data"):
        read_goemotions(folder, "dev")


def test_whole_numbers_stand_for_weights_within_half_a_step() -> None:
    values = np.random.default_rng(1).normal(0, 1, (30, 20)).astype(np.float32)
    whole, scale = quantized(values)
    # The scale itself is in half precision, so the greatest may be cut by a little more.
    assert (np.abs(whole * scale - values) <= 0.6 * scale).all()
    assert quantized(np.zeros((2, 2), np.float32))[0].tolist() == [[0, 0], [0, 0]]


def test_thresholds_are_the_best_of_all() -> None:
    chance = np.random.default_rng(2)
    right = chance.random((4_000, 1)) < 0.2
    chances = np.clip(chance.normal(0.3 + 0.3 * right, 0.1), 0, 1).astype(np.float32)
    (threshold,) = best_thresholds(chances, right)
    assert 0.45 < threshold < 0.55


def test_calibrated_chances_are_as_often_right_as_they_say() -> None:
    chance = np.random.default_rng(3)
    true = chance.uniform(-3, 3, (20_000, 1))
    right = chance.random((20_000, 1)) < 1 / (1 + np.exp(-true))
    overconfident = (3 * true - 1).astype(np.float32)[:, None]
    slopes, offsets = calibration(overconfident, right)
    assert slopes[0, 0] == pytest.approx(1 / 3, rel=0.1)
    assert offsets[0] == pytest.approx(1 / 3, abs=0.1)
    after = 1 / (1 + np.exp(-(overconfident[:, 0, 0] * slopes[0, 0] + offsets[0])))
    assert calibration_error(after.astype(np.float64), right[:, 0]) < 0.02


def test_of_two_parts_the_one_that_knows_is_believed() -> None:
    chance = np.random.default_rng(5)
    logits = chance.uniform(-3, 3, (20_000, 2, 1)).astype(np.float32)
    right = chance.random((20_000, 1)) < 1 / (1 + np.exp(-logits[:, 1]))
    slopes, _ = calibration(logits, right)
    assert slopes[:, 0] == pytest.approx([0, 1], abs=0.1)


def test_scores_of_a_few_sentences() -> None:
    texts = ["I love it, thank you", "this makes me so angry", "[NAME]"]
    labels = np.zeros((3, 7), np.float32)
    labels[0, LABELS.index("joy")] = labels[1, LABELS.index("anger")] = 1
    labels[2, LABELS.index("neutral")] = 1
    rated = Rated(texts=texts[:2], axes=np.array([[1, 0, 0.5], [-1, 1, 0]], np.float32))
    found = score(
        TextClassifier(),
        Labelled(texts=texts, fine=np.zeros((3, 28), np.float32), labels=labels),
        rated,
    )
    assert found.texts == found.single_label_texts == 3
    assert found.single_label_accuracy == 1.0
    assert found.f1["joy"] == found.f1["anger"] == 1.0
    assert found.vad_correlation[0] == pytest.approx(1.0)


LETTERS = "abcdefgh"


@pytest.mark.skipif(find_spec("torch") is None, reason="torch comes with `make setup-train`")
class TestWithTorch:
    def test_the_graph_computes_what_the_networks_compute(self) -> None:
        import torch

        from training.emotion_network import Counted, Heard, Texts

        torch.manual_seed(5)
        reads = [Reader({}).read(text) for text in ("so", "well, this is it", "a b c d e f g")]
        counted, heard = Counted().eval(), Heard().eval()
        torch.nn.init.normal_(counted.words.weight.data[1:])
        torch.nn.init.normal_(counted.phrases.weight)
        model = self.written([counted, heard], blend=None)
        with torch.no_grad():
            told = [part(Texts.of(reads)) for part in (counted, heard)]
        for at, read in enumerate(reads):
            logits, axes = model.run(["LOGITS", "VAD"], inputs_of(read))
            for part in (0, 1):
                assert logits[part] == pytest.approx(told[part][0][at].numpy(), abs=0.05)
            assert axes == pytest.approx(told[1][2][at].numpy().clip(-1, 1), abs=0.02)

    def test_a_blend_weighs_the_parts(self) -> None:
        from training.emotion_network import Counted, Heard

        parts = [Counted(), Heard()]
        blend = Blend(slopes=np.ones((2, 7), np.float32), offsets=np.full(7, 0.5, np.float32))
        asked = inputs_of(Reader({}).read("well, this is it"))
        (logits,) = self.written(parts, blend=None).run(["LOGITS"], asked)
        (chances,) = self.written(parts, blend=blend).run(["CHANCES"], asked)
        assert chances == pytest.approx(1 / (1 + np.exp(-logits.sum(0) - 0.5)), abs=1e-5)

    @staticmethod
    def written(parts: Any, *, blend: Blend | None) -> onnxruntime.InferenceSession:
        counted, heard = (
            {name: value.numpy() for name, value in part.state_dict().items()} for part in parts
        )
        model = emotion_model(counted, [heard], blend=blend, properties={})
        return onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def test_some_texts_are_those_texts(self) -> None:
        from training.emotion_network import Texts

        reads = [Reader({}).read(text) for text in ("one", "two three", "", "four, five")]
        some = Texts.of(reads).some(np.array([3, 0, 2]))
        alone = Texts.of([reads[3], reads[0], reads[2]])
        for name in Texts.__annotations__:
            assert getattr(some, name).tolist() == getattr(alone, name).tolist(), name
        assert some.spoken().tolist() == [0, 1]

    def test_company_changes_nothing(self) -> None:
        import torch

        from training.emotion_network import Heard, Texts

        heard = Heard().eval()
        reads = [Reader({}).read(text) for text in ("one", "two three four five six seven")]
        with torch.no_grad():
            together, alone = heard(Texts.of(reads))[0], heard(Texts.of(reads[:1]))[0]
        assert together[0].numpy() == pytest.approx(alone[0].numpy(), abs=1e-5)

    def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(self, tmp_path: Path) -> None:
        import torch

        from training.emotion import Recipe, Training, train
        from training.emotion_network import Heard

        recipe, pace = Recipe(held_out=0.2), self.pace()
        corpus = small_corpus(recipe)
        whole = Training.begin(Heard, pace)
        train(whole, corpus, recipe, checkpoint=tmp_path / "whole.pt")
        first = Training.begin(Heard, pace)
        train(first, corpus, recipe, checkpoint=tmp_path / "first.pt", until=1)
        second = Training.begin(Heard, pace)
        second.resume(tmp_path / "first.pt")
        train(second, corpus, recipe, checkpoint=tmp_path / "second.pt")
        assert second.step == whole.step == 8
        for name, value in whole.average.items():
            assert torch.equal(second.average[name], value), name

    def test_what_was_learned_otherwise_is_refused(self, tmp_path: Path) -> None:
        from training.emotion import Training
        from training.emotion_network import Heard

        Training.begin(Heard, self.pace()).save(tmp_path / "kept.pt")
        other = Training.begin(Heard, replace(self.pace(), rate=0.5))
        with pytest.raises(ValueError, match=r"'rate': 0.01.*'rate': 0.5.*delete it, and train"):
            other.resume(tmp_path / "kept.pt")

    def test_what_is_learned_is_told(self) -> None:
        from training.emotion import Recipe, Training, finished_model
        from training.emotion_network import Counted, Heard

        corpus = small_corpus(Recipe(held_out=0.5))
        parts = [Training.begin(make, self.pace()).weights() for make in (Counted, Heard)]
        model = onnx.load_from_string(finished_model(parts[0], parts[1:], corpus))
        told = {entry.key: entry.value for entry in model.metadata_props}
        assert told["valences"] == "a 1"
        assert told["labels"].split(",") == list(LABELS)
        assert len(told["thresholds"].split(",")) == 7

    @staticmethod
    def pace() -> Any:
        from training.emotion import Pace

        return Pace(seed=1, epochs=2, batch=4, rate=0.01, averaging=0.9)


def small_corpus(recipe: Any) -> Any:
    from training.emotion import Corpus

    chance = np.random.default_rng(4)
    texts = [" ".join(chance.choice(list(LETTERS), 6)) for _ in range(20)]
    axes = chance.uniform(-1, 1, (20, 3)).astype(np.float32)
    labelled = Labelled(
        texts=texts,
        fine=np.eye(28, dtype=np.float32)[np.arange(20)],
        labels=np.eye(7, dtype=np.float32)[np.arange(20) % 7],
    )
    rated = Rated(texts=texts, axes=axes)
    return Corpus.of({"a": 1}, labelled, rated, rated, recipe)
