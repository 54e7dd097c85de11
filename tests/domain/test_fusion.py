from dataclasses import replace
from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fusion import (
    KEY_DIM,
    MODALITY_WEIGHTS,
    Fusion,
    FusionError,
    Vector,
    fuse,
    lift,
    projection,
    retrieval_vector,
    unlearned,
)
from schemas.collections import ITEM_DIM, MODALITY_DIM

# What is stored in Milvus was made with these; another matrix would be another space.
DIGESTS = {
    "text": "82cb776a0950315c",
    "image": "79643cfe00425be6",
    "audio": "76cdbe913627f3f4",
    "video": "627b147e99ab09f9",
}
seeds = st.integers(0, 2**32 - 1)


def random_vector(seed: int, dim: int = MODALITY_DIM) -> Vector:
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


def cosine(one: Vector, other: Vector) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("modality", sorted(MODALITY_WEIGHTS))
def test_a_projection_is_orthonormal_and_never_changes(modality: str) -> None:
    matrix = projection(modality)
    assert matrix.shape == (ITEM_DIM, MODALITY_DIM)
    assert np.array_equal(matrix.T @ matrix, np.eye(MODALITY_DIM))
    assert sha256(matrix.astype("<f4").tobytes()).hexdigest()[:16] == DIGESTS[modality]


def test_modalities_look_in_different_directions() -> None:
    same = random_vector(1)
    for one, other in combinations(MODALITY_WEIGHTS, 2):
        assert abs(cosine(projection(one) @ same, projection(other) @ same)) < 0.2


@given(seeds, seeds)
def test_lifting_keeps_cosines(one: int, other: int) -> None:
    u, v = random_vector(one), random_vector(other)
    assert cosine(lift(u), lift(v)) == pytest.approx(cosine(u, v), abs=1e-5)


@given(seeds, seeds)
def test_an_item_of_text_alone_keeps_its_cosine_to_users(user: int, item: int) -> None:
    u, text = random_vector(user), random_vector(item)
    assert cosine(lift(u), fuse({"text": text})) == pytest.approx(cosine(u, text), abs=1e-5)


@settings(deadline=None)  # the first call draws the matrices
@given(seeds, st.sets(st.sampled_from(sorted(MODALITY_WEIGHTS)), min_size=1))
def test_a_fused_vector_has_length_one_and_is_near_each_part(seed: int, names: set[str]) -> None:
    parts = {name: random_vector(seed + n) for n, name in enumerate(sorted(names))}
    fused = fuse(parts)
    assert fused.shape == (ITEM_DIM,)
    assert fused.dtype == np.float32
    assert np.linalg.norm(fused) == pytest.approx(1.0, abs=1e-5)
    assert all(cosine(fused, projection(name) @ part) > 0.05 for name, part in parts.items())


def test_the_heavier_modality_counts_more() -> None:
    text, audio = random_vector(1), random_vector(2)
    fused = fuse({"text": text, "audio": audio})
    near = cosine(fused, projection("text") @ text), cosine(fused, projection("audio") @ audio)
    assert near[0] / near[1] == pytest.approx(4, rel=0.2)


def test_the_order_of_modalities_doesnt_matter() -> None:
    text, image = random_vector(1), random_vector(2)
    assert np.array_equal(
        fuse({"text": text, "image": image}), fuse({"image": image, "text": text})
    )


def test_users_see_the_text_of_an_item() -> None:
    text = random_vector(1)
    seen = retrieval_vector({"text": text, "image": random_vector(2)})
    assert cosine(seen, text) == pytest.approx(1.0, abs=1e-5)


def test_an_item_without_text_is_found_by_who_likes_it() -> None:
    """A user who took an image's shadow for their own finds that item before any other."""
    items = [{"image": random_vector(n)} for n in range(50)]
    user = lift(retrieval_vector(items[7]))
    assert int(np.argmax([user @ fuse(item) for item in items])) == 7


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.zeros(MODALITY_DIM, dtype=np.float32), "the text vector has length 0.0"),
        (np.full(MODALITY_DIM, np.nan, dtype=np.float32), "length nan"),
        (np.full(MODALITY_DIM, np.inf, dtype=np.float32), "length inf"),
        (np.ones(4, dtype=np.float32), r"shape \(4,\); 512 to 1024 numbers are needed"),
        (np.ones(1025, dtype=np.float32), r"shape \(1025,\)"),
        (np.ones((1, 512), dtype=np.float32), r"shape \(1, 512\)"),
    ],
)
def test_a_vector_without_direction_is_named(vector: Vector, told: str) -> None:
    with pytest.raises(FusionError, match=told):
        fuse({"text": vector})


def test_no_modality_is_named() -> None:
    with pytest.raises(FusionError, match="at least one modality"):
        fuse({})


def of_algorithm(parts: dict[str, Vector], learned: Fusion) -> Vector:
    """The document's steps in its own order, in double precision and without shortcuts."""
    names = list(parts)
    projected = {
        name: projection(name, parts[name].size).astype(np.float64)
        @ (parts[name] / np.linalg.norm(parts[name]))
        for name in names
    }
    total = sum(learned.weights[name] for name in names)
    average = sum(learned.weights[name] / total * projected[name] for name in names)
    stacked = np.stack([projected[name] for name in names])
    value = np.eye(ITEM_DIM) if learned.value is None else learned.value
    gate = np.zeros((ITEM_DIM, 2 * ITEM_DIM)) if learned.gate is None else learned.gate
    scores = [learned.query @ average @ (learned.key @ row) / np.sqrt(256) for row in stacked]
    heard = np.exp(scores) / np.exp(scores).sum()
    attended = heard @ np.stack([value @ row for row in stacked])
    opens = gate @ np.concatenate([average, attended]) + learned.gate_bias
    opened = 1 / (1 + np.exp(-opens))
    fused = opened * average + (1 - opened) * attended
    normal: Vector = (fused / np.linalg.norm(fused)).astype(np.float32)
    return normal


def learned(seed: int) -> Fusion:
    chance = np.random.default_rng(seed)

    def drawn(*shape: int) -> Vector:
        return chance.standard_normal(shape).astype(np.float32)

    return Fusion(
        query=drawn(KEY_DIM, ITEM_DIM),
        key=drawn(KEY_DIM, ITEM_DIM),
        value=drawn(ITEM_DIM, ITEM_DIM) / 32,
        gate=drawn(ITEM_DIM, 2 * ITEM_DIM),
        gate_bias=drawn(ITEM_DIM),
        weights={"text": 1.0, "image": 2.0, "audio": 0.5, "video": 0.25},
    )


@pytest.mark.parametrize("fusion", [unlearned(), learned(3)])
@pytest.mark.parametrize("names", [("text", "image"), ("audio", "video", "text", "image")])
def test_several_modalities_fuse_as_the_algorithm_says(
    fusion: Fusion, names: tuple[str, ...]
) -> None:
    parts = {name: random_vector(n, 512 + 100 * n) for n, name in enumerate(names)}
    assert fuse(parts, fusion=fusion) == pytest.approx(of_algorithm(parts, fusion), abs=1e-5)


@pytest.mark.parametrize("dim", [512, 768, 1024])
def test_a_modality_of_any_size_keeps_its_cosines(dim: int) -> None:
    one, other = random_vector(1, dim), random_vector(2, dim)
    found = cosine(fuse({"image": one}), fuse({"image": other}))
    assert found == pytest.approx(cosine(one, other), abs=1e-5)


def test_a_larger_text_is_seen_by_users_as_its_shadow() -> None:
    items = [{"text": random_vector(n, 1024)} for n in range(50)]
    user = lift(retrieval_vector(items[7]))
    assert int(np.argmax([user @ fuse(item) for item in items])) == 7


def test_what_was_learned_in_another_shape_is_named() -> None:
    good = learned(1)
    with pytest.raises(FusionError, match=r"key has shape \(256, 512\); \(256, 1024\)"):
        replace(good, key=good.key[:, :512])
    with pytest.raises(FusionError, match="gate_bias has shape"):
        replace(good, gate_bias=np.full(ITEM_DIM, np.nan, np.float32))
    with pytest.raises(FusionError, match="needs one above 0"):
        replace(good, weights={"text": 1.0})
