import hashlib
import json
import runpy
import sys
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from domain.emotion import LABELS
from domain.emotion_text import FIRST, LAST, PAD, UNKNOWN, Vocabulary
from operators.text_emotion import MODEL_FILE, TextClassifier
from training.emotion_data import (
    GROUPS,
    Labelled,
    Rated,
    grouping,
    read_emobank,
    read_goemotions,
    read_lexicon,
)
from training.emotion_graph import emotion_model, quantized
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


def test_the_file_says_its_labels_and_pieces() -> None:
    assert told()["labels"].split(",") == list(LABELS)
    assert len(told()["thresholds"].split(",")) == len(LABELS)
    pieces = told()["pieces"].split("\n")
    assert pieces[0] == PAD
    assert len(set(pieces)) == len(pieces)
    assert {"happy", "angry", "##ing", UNKNOWN, FIRST, LAST} <= set(pieces)


def test_what_is_filled_up_is_not_heard() -> None:
    pieces = Vocabulary(told()["pieces"].split("\n"))
    session = onnxruntime.InferenceSession(str(MODEL_FILE), providers=["CPUExecutionProvider"])
    numbers = pieces.encode("what a lovely surprise")
    alone = session.run(None, {"PIECES": np.array([numbers], np.int64)})
    filled = session.run(None, {"PIECES": np.array([numbers + [0] * 9], np.int64)})
    # Rounding to bytes goes by the greatest number in a run, so there is a little difference.
    assert np.abs(alone[0] - filled[0]).max() < 0.05
    assert np.abs(alone[1] - filled[1]).max() < 0.05


def test_the_model_server_takes_and_gives_what_the_file_does() -> None:
    config = (ENTRY / "config.pbtxt").read_text(encoding="utf-8")
    for name in ("PIECES", "CHANCES", "VAD"):
        assert f'name: "{name}"' in config
    assert f"dims: [ {len(LABELS)} ]" in config


class Pretended:
    """What Triton gives to a model in Python."""

    def __init__(self, name: str, values: Any) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> Any:
        return self.values


def test_the_model_server_reads_text_by_text(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SimpleNamespace(
        get_input_tensor_by_name=lambda request, _: request,
        Tensor=Pretended,
        InferenceResponse=list,
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", server)
    served = runpy.run_path(str(ENTRY / "1/model.py"))["TritonPythonModel"]()
    served.initialize({"model_repository": str(ENTRY), "model_version": "1"})
    numbers = Vocabulary(told()["pieces"].split("\n")).encode("I love this blue mug")
    rows = np.array([[*numbers, 0, 0], [2, 3, *[0] * len(numbers)]], np.int64)
    ((chances, axes),) = served.execute([Pretended("PIECES", rows)])
    assert (chances.name, chances.values.shape) == ("CHANCES", (2, 7))
    assert (axes.name, axes.values.shape) == ("VAD", (2, 3))
    read = TextClassifier()("I love this blue mug")
    assert read is not None
    assert chances.values[0].max() == pytest.approx(read.confidence)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text(NAMES.replace(" ", "\n"))
    (tmp_path / "train.tsv").write_text("I cried\t4,7\tx1\nso it is\t6\tx2\n")
    (tmp_path / "emobank.csv").write_text(
        'id,split,V,A,D,text\na,train,4.0,3.5,3.0,"well, ""good"""\nb,test,1.0,1.0,1.0,bad\n'
    )
    (tmp_path / "vader_lexicon.txt").write_text("awful\t-2.0\t0.1\t[1]\n\n")
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
    assert words.texts == ["awful"]
    assert words.axes[0, 0] == pytest.approx(-0.8)
    assert np.isnan(words.axes[0, 1:]).all()


def test_missing_data_says_where_it_was_looked_for(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dev\.tsv nor .*dev\.tsv\.zst is there; --data"):
        read_goemotions(folder, "dev")


def test_whole_numbers_stand_for_weights_within_half_a_step() -> None:
    values = np.random.default_rng(1).normal(0, 1, (30, 20)).astype(np.float32)
    for axis in (0, 1):
        whole, scale = quantized(values, axis=axis)
        assert np.abs(whole * scale - values).max() <= scale.max() / 2 + 1e-6
    assert quantized(np.zeros((2, 2), np.float32), axis=1)[0].tolist() == [[0, 0], [0, 0]]


def test_no_processor_has_to_cut_off_a_product() -> None:
    model = onnx.load(str(MODEL_FILE))
    factors = [
        numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.name.startswith("layers.") and one.data_type == onnx.TensorProto.INT8
    ]
    assert len(factors) == 12
    assert max(int(np.abs(one.astype(int)).max()) for one in factors) * 255 * 2 < 2**15


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
    overconfident = (3 * true - 1).astype(np.float32)
    slopes, offsets = calibration(overconfident, right)
    assert slopes[0] == pytest.approx(1 / 3, rel=0.1)
    assert offsets[0] == pytest.approx(1 / 3, abs=0.1)
    after = 1 / (1 + np.exp(-(overconfident[:, 0] * slopes[0] + offsets[0])))
    assert calibration_error(after.astype(np.float64), right[:, 0]) < 0.02


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


@pytest.mark.skipif(find_spec("torch") is None, reason="torch comes with `make setup-train`")
class TestWithTorch:
    def test_the_graph_computes_what_the_network_computes(self) -> None:
        import torch

        from training.emotion_network import EmotionNetwork

        torch.manual_seed(5)
        network = EmotionNetwork(pieces=50, layers=2).eval()
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        model = emotion_model(weights, layers=2, properties={}).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        numbers = np.array([[2, 7, 9, 11, 3, 0, 0], [2, 8, 12, 13, 14, 15, 3]], np.int64)
        chances, axes = session.run(None, {"PIECES": numbers})
        with torch.no_grad():
            labels, _, expected = network(torch.from_numpy(numbers))
        assert np.abs(chances - labels.sigmoid().numpy()).max() < 0.01
        assert np.abs(axes - np.clip(expected.numpy(), -1, 1)).max() < 0.02

    def test_another_base_is_refused(self, tmp_path: Path) -> None:
        from training.emotion_network import read_base

        wheel = tmp_path / "base.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("model/model.safetensors", b"other")
            archive.writestr("model/vocab.txt", b"a\n")
        with pytest.raises(
            ValueError, match=r"has sha256 .*, expected 53aa5117.*take the original"
        ):
            read_base(wheel)

    def test_the_pieces_that_texts_need_stay(self) -> None:
        from training.emotion_network import choose_pieces

        pieces = [PAD, UNKNOWN, FIRST, LAST, "a", "##a", "lamp", "mug", "rare"]
        kept = choose_pieces(pieces, ["Lamp lamp a mug", "mug rare"], size=8)
        assert [pieces[at] for at in kept] == [*pieces[:6], "lamp", "mug"]

    def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(self, tmp_path: Path) -> None:
        import torch

        from training.emotion import Recipe, train

        recipe = Recipe(layers=1, epochs=2, batch=4, held_out=0.2)
        corpus = small_corpus(recipe)
        whole = small_training(recipe)
        train(whole, corpus, recipe, checkpoint=tmp_path / "whole.pt")
        first = small_training(recipe)
        train(first, corpus, recipe, checkpoint=tmp_path / "first.pt", until=1)
        second = small_training(recipe)
        second.resume(tmp_path / "first.pt")
        train(second, corpus, recipe, checkpoint=tmp_path / "second.pt")
        assert second.step == whole.step == 8
        for name, value in whole.average.items():
            assert torch.equal(second.average[name], value), name

    def test_what_was_learned_of_other_pieces_is_refused(self, tmp_path: Path) -> None:
        from training.emotion import Recipe

        recipe = Recipe(layers=1)
        small_training(recipe).save(tmp_path / "kept.pt")
        other = small_training(recipe, pieces=PIECES[::-1])
        with pytest.raises(ValueError, match=r"other pieces of words.*delete it, and train"):
            other.resume(tmp_path / "kept.pt")


LETTERS = "abcdefgh"
PIECES = (PAD, UNKNOWN, FIRST, LAST, *LETTERS)


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
    vocabulary = Vocabulary(PIECES)
    return Corpus.of(vocabulary, labelled, rated, rated, recipe)


def small_training(recipe: Any, *, pieces: Sequence[str] = PIECES) -> Any:
    import torch

    from training.emotion import Training
    from training.emotion_network import EmotionNetwork

    torch.manual_seed(recipe.seed)
    network = EmotionNetwork(pieces=4 + len(LETTERS), layers=recipe.layers)
    return Training.of(network, tuple(pieces), recipe)
