import hashlib
import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from domain.fusion import unit
from domain.ranking_features import Activity
from domain.taste import Met, taste_of
from domain.text import WordCounts
from domain.user_tower import INPUTS, SCALARS, tower_input
from schemas.collections import USER_DIM
from settings import Settings
from training.user_tower_card import card
from training.user_tower_data import (
    Bought,
    Items,
    Questions,
    items_of,
    questions_of,
    read_purchases,
    read_words,
    shares_of,
)
from training.user_tower_graph import HALF_FAMILIAR, STEEPNESS, WEIGHTS, user_tower
from training.user_tower_scores import both, embedding, found_by, gain, judged, popular, together

ENTRY = Path(__file__).parents[2] / "serving/models/user_tower"
MODEL_FILE = ENTRY / "1/model.onnx"
MINUTE_MS = 60_000
DAY_MS = 86_400_000


def scores() -> Any:
    return json.loads((ENTRY / "scores.json").read_text(encoding="utf-8"))


def told() -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(MODEL_FILE)).metadata_props}


class TestWhatShips:
    def test_the_scores_are_those_of_the_file(self) -> None:
        assert scores()["sha256"] == hashlib.sha256(MODEL_FILE.read_bytes()).hexdigest(), (
            "scores.json is of another model.onnx; run python -m training.user_tower"
        )

    def test_the_card_is_of_the_scores(self) -> None:
        assert (ENTRY / "card.md").read_text(encoding="utf-8") == card(scores())

    def test_it_is_small_and_beats_all_that_needs_no_learning(self) -> None:
        found = scores()
        assert MODEL_FILE.stat().st_size < 3_000_000
        for group in found["groups"].values():
            for way in ("embedding", "taste", "both", "popular"):
                assert group["tower"]["recall_200"] > group[way]["recall_200"] + 0.03
                assert group["tower"]["ndcg_20"] > group[way]["ndcg_20"] + 0.02
        for way in found["gain"].values():
            assert way["mean"] > 10 * way["error"]

    def test_serving_asks_it_where_the_vectors_are_of_its_space(self) -> None:
        assert Settings().serving.user_tower == told()["space"] == scores()["space"]

    def test_its_scalars_are_those_that_serving_tells(self) -> None:
        assert told()["scalars"].split(",") == list(SCALARS)

    def test_the_model_server_takes_and_gives_what_it_does(self) -> None:
        config = (ENTRY / "config.pbtxt").read_text(encoding="utf-8")
        assert [f"dims: [ {size} ]" in config for size in (INPUTS, USER_DIM)] == [True, True]

    def test_among_other_words_it_is_no_worse_than_a_mix(self) -> None:
        """In directions that no user of its shop took, what it learned isn't heeded."""
        chance = np.random.default_rng(3)
        users = [tower_of(vector(chance), vector(chance)) for _ in range(50)]
        asked = np.stack(users)
        mixed = both(asked) / np.linalg.norm(both(asked), axis=1, keepdims=True)
        session = onnxruntime.InferenceSession(str(MODEL_FILE), providers=["CPUExecutionProvider"])
        (queries,) = session.run(["QUERY"], {"INPUT": asked})
        assert np.quantile((queries * mixed).sum(1), 0.1) > 0.9


def vector(chance: np.random.Generator) -> Any:
    return unit("any", chance.normal(0, 1, USER_DIM).astype(np.float32))


def tower_of(held: Any, taste: Any) -> Any:
    return tower_input(held, taste, Activity(interactions=9, last_event_ms=0), now_ms=0)


def bought(user: str, order: str, item: str, at_ms: int) -> Bought:
    return Bought(at_ms, user, order, item, f"{item} thing")


ORDERS = (
    bought("u", "1", "red", 0),
    bought("u", "1", "blue", 0),
    bought("v", "2", "red", MINUTE_MS),
    bought("u", "3", "green", DAY_MS),
    bought("u", "3", "red", DAY_MS),
    bought("u", "3", "green", DAY_MS),
    bought("u", "3", "black", DAY_MS),
)


@pytest.fixture
def items() -> Items:
    return items_of(ORDERS, WordCounts(1, {"thing": 1}))


class TestQuestions:
    def test_a_question_holds_what_was_before_it_and_nothing_later(self, items: Items) -> None:
        asked = questions_of(ORDERS, items)
        row_of = items.row_of
        names = [
            ([items.ids[row] for row in met], [items.ids[row] for row in wanted])
            for met, wanted in zip(asked.met, asked.wanted, strict=True)
        ]
        assert names == [
            (["red"], ["blue"]),
            ([], ["green", "red", "black"]),
            (["green"], ["red", "black"]),
            (["green", "red"], ["black"]),
        ]
        assert asked.within.tolist() == [True, False, True, True]
        assert asked.at_ms.tolist() == [0, DAY_MS, DAY_MS, DAY_MS]
        met = [
            Met(item_id=name, action="purchase", at_ms=0, vector=items.vectors[row_of[name]])
            for name in ("blue", "red")
        ]
        taste = taste_of(met, now_ms=DAY_MS).mean
        assert asked.told[1][USER_DIM : 2 * USER_DIM] == pytest.approx(taste, abs=1e-3)
        scalars = dict(zip(SCALARS, asked.told[1][2 * USER_DIM :].tolist(), strict=True))
        assert scalars["log_interactions"] == pytest.approx(np.log(3), abs=1e-3)
        assert (scalars["log_events_1h"], scalars["log_events_24h"]) == (0.0, 0.0)
        within = dict(zip(SCALARS, asked.told[2][2 * USER_DIM :].tolist(), strict=True))
        assert within["log_events_1h"] == pytest.approx(np.log(2), abs=1e-3)
        assert within["recency"] == 1.0

    def test_what_comes_later_changes_no_earlier_question(self, items: Items) -> None:
        whole = questions_of(ORDERS, items)
        first = questions_of([line for line in ORDERS if line.at_ms < DAY_MS], items)
        assert len(first) == 1
        assert np.array_equal(whole.told[:1], first.told)

    def test_shares_are_of_the_time_before(self, items: Items) -> None:
        shares = dict(zip(items.ids, shares_of(ORDERS, items, until_ms=DAY_MS), strict=True))
        assert shares["red"] == pytest.approx(3 / 7)
        assert shares["black"] == pytest.approx(1 / 7)

    def test_files_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "some.csv"
        file.write_text(
            "at,user_id,order_id,item_id,quantity,price,country,title\n"
            "1970-01-02T00:00Z,u,2,b,1,2.0,GB,B\n1970-01-01T00:01Z,u,1,a,1,2.0,GB,A\n"
        )
        assert [line.at_ms for line in read_purchases(file)] == [MINUTE_MS, DAY_MS]
        words = tmp_path / "words.json"
        words.write_text('{"texts": 2, "words": {"a": 1}}')
        assert read_words(words) == WordCounts(2, {"a": 1})


def asked_for(wanted: list[list[int]], met: list[list[int]]) -> Questions:
    count = len(wanted)
    return Questions(
        told=np.zeros((count, INPUTS), np.float16),
        users=np.arange(count, dtype=np.uint32),
        at_ms=np.zeros(count, np.int64),
        within=np.array([bool(one) for one in met]),
        wanted=tuple(np.array(one, np.int64) for one in wanted),
        met=tuple(np.array(one, np.int64) for one in met),
    )


class TestScores:
    def test_the_nearest_come_first_and_what_is_met_never(self) -> None:
        vectors = np.eye(300, USER_DIM, dtype=np.float32)
        items = Items(ids=tuple(map(str, range(300))), vectors=vectors, space="s")
        asked = asked_for([[0, 299], [7]], [[], [0]])
        falling = np.linspace(1, 0, USER_DIM, dtype=np.float32)[None].repeat(2, 0)
        found = found_by(lambda _: falling, asked, items, name="falling")
        assert found.rows[0].tolist() == list(range(200))
        assert found.rows[1].tolist() == list(range(1, 201))
        assert found.recall.tolist() == [0.5, 1.0]
        assert found.ndcg == pytest.approx([1 / (1 + 1 / np.log2(3)), 1 / np.log2(8)])

    def test_popular_is_the_same_for_all_but_what_they_met(self) -> None:
        shares = np.linspace(1, 0, 300, dtype=np.float32)
        found = popular(shares, asked_for([[0], [201]], [[], [3]]))
        assert found.rows[0].tolist() == list(range(200))
        assert found.rows[1].tolist() == [0, 1, 2, *range(4, 201)]

    def test_two_lists_as_one_and_one_over_another(self) -> None:
        asked = asked_for([[1, 2], [3, 4]], [[], []])
        one, other = (
            judged(np.array([[1], [9]]), asked),
            judged(np.array([[2], [3]]), asked),
        )
        assert together(one, other, asked) == 0.75
        assert gain(one, other, asked) == (-0.25, 0.25)

    def test_ways_that_need_no_learning(self) -> None:
        told = tower_of(np.eye(1, USER_DIM)[0], np.eye(2, USER_DIM)[1])[None]
        assert embedding(told)[0, :2].tolist() == [1, 0]
        assert both(told)[0, :2].tolist() == [1, 1]


class TestGraph:
    def test_a_tower_that_learned_nothing_is_the_mix(self) -> None:
        queries = self.run(self.nothing(), np.stack([self.user(0), self.user(1)]))
        assert np.linalg.norm(queries, axis=1) == pytest.approx(1.0)
        assert queries[0, :3] == pytest.approx([2**-0.5, 2**-0.5, 0], abs=1e-6)

    def test_of_nobody_it_says_nothing(self) -> None:
        queries = self.run(self.nothing(), np.zeros((1, INPUTS), np.float32))
        assert not queries.any()

    def test_what_was_learned_is_heeded_as_far_as_the_mix_is_familiar(self) -> None:
        weights = self.nothing()
        weights["adds.bias"][5] = 1.0
        queries = self.run(weights, np.stack([self.user(0), self.user(300)]))
        heeded = queries[:, 5] / queries[:, [0, 300]].diagonal()
        expected = [1 / (1 + np.exp(-STEEPNESS * (f - HALF_FAMILIAR))) for f in (1.0, 0.0)]
        assert heeded == pytest.approx(np.array(expected) / 2**-0.5, abs=1e-4)

    @staticmethod
    def user(axis: int) -> Any:
        held, taste = np.zeros((2, USER_DIM), np.float32)
        held[axis] = taste[axis + 1] = 1.0
        return tower_of(held, taste)

    @staticmethod
    def nothing() -> dict[str, Any]:
        return {
            "mix.weight": np.zeros((2, len(SCALARS)), np.float32),
            "mix.bias": np.zeros(2, np.float32),
            "hidden.weight": np.zeros((4, INPUTS), np.float32),
            "hidden.bias": np.zeros(4, np.float32),
            "adds.weight": np.zeros((USER_DIM, 4), np.float32),
            "adds.bias": np.zeros(USER_DIM, np.float32),
            "familiar": np.eye(64, USER_DIM, dtype=np.float32),
        }

    @staticmethod
    def run(weights: dict[str, Any], asked: Any) -> Any:
        assert set(weights) == set(WEIGHTS)
        session = onnxruntime.InferenceSession(
            user_tower(weights, properties={}), providers=["CPUExecutionProvider"]
        )
        (queries,) = session.run(["QUERY"], {"INPUT": asked})
        return queries


def shop_of_pairs() -> list[Bought]:
    """Forty users who after two things of a colour always take the third."""
    chance = np.random.default_rng(2)
    lines = []
    for order in range(400):
        colour = chance.integers(8)
        for number in range(3):
            item = f"colour{colour}x{number}"
            title = f"word{colour * 3 + number}"
            lines.append(Bought(order * DAY_MS, f"user{order % 40}", str(order), item, title))
    return lines


@pytest.mark.skipif(find_spec("torch") is None, reason="torch comes with `make setup-train`")
class TestWithTorch:
    def test_the_file_computes_what_the_network_computes(self) -> None:
        import torch

        from training.user_tower import Tower, content_of, queries_of

        torch.manual_seed(5)
        tower = Tower(np.eye(64, USER_DIM, dtype=np.float32), hidden=8, dropout=0.5)
        torch.nn.init.normal_(tower.adds.weight)
        torch.nn.init.normal_(tower.mix.weight)
        chance = np.random.default_rng(1)
        asked = np.stack([tower_of(vector(chance), vector(chance)) for _ in range(20)])
        asked[:10, :64] *= 5
        items = Items(ids=(), vectors=np.zeros((0, USER_DIM), np.float32), space="s")
        session = onnxruntime.InferenceSession(
            content_of(tower, items), providers=["CPUExecutionProvider"]
        )
        (queries,) = session.run(["QUERY"], {"INPUT": asked})
        assert queries == pytest.approx(queries_of(tower)(asked), abs=1e-5)

    def test_what_is_popular_is_taken_off(self) -> None:
        import torch

        from training.user_tower import Recipe, in_batch_loss

        queries, vectors = torch.eye(2), torch.eye(2)
        wanted, recipe = torch.tensor([3, 4]), Recipe(temperature=1.0)
        alike = in_batch_loss(queries, vectors, torch.zeros(2), wanted, recipe)
        assert alike.item() == pytest.approx(np.log(1 + np.exp(-1)))
        logs = torch.tensor([0.0, -2.0])
        rare = in_batch_loss(queries, vectors, logs, wanted, recipe)
        expected = (np.log(1 + np.exp(1)) + np.log(1 + np.exp(-3))) / 2
        assert rare.item() == pytest.approx(expected)

    def test_the_same_item_twice_is_no_wrong_answer(self) -> None:
        import torch

        from training.user_tower import Recipe, in_batch_loss

        one_item = torch.eye(2)[[0, 0]]
        same = in_batch_loss(one_item, one_item, torch.zeros(2), torch.tensor([3, 3]), Recipe())
        assert same.item() == pytest.approx(0.0)

    def test_times_and_users_are_kept_apart(self) -> None:
        from training.user_tower import Split, held_out

        lines = shop_of_pairs()
        items = items_of(lines, WordCounts(1, {}))
        split = Split.of(questions_of(lines, items), lines, items)
        parts = (split.learned, split.chosen, split.asked)
        assert all(one.at_ms.max() < other.at_ms.min() for one, other in pairwise(parts))
        assert not held_out(split.learned).any()
        assert not held_out(split.chosen).any()
        assert 0 < held_out(split.asked).mean() < 1

    def test_what_follows_is_learned_and_the_same_each_time(self) -> None:
        from training.user_tower import Recipe, Split, content_of, learn, queries_of

        lines = shop_of_pairs()
        # Two hundred are asked for, so there are more.
        more = [Bought(0, "w", f"m{n}", f"more{n}", f"other{n}") for n in range(230)]
        items = items_of([*lines, *more], WordCounts(1, {}))
        split = Split.of(questions_of(lines, items), lines, items)
        recipe = Recipe(hidden=32, dropout=0.0, epochs=3, batch=32, rate=0.01, familiar=24)
        first, second = (learn(split, items, recipe, say=lambda _: None) for _ in range(2))
        assert content_of(first, items) == content_of(second, items)
        asked = split.asked.some(split.asked.within)
        tower = found_by(queries_of(first), asked, items, name="tower")
        plain = found_by(embedding, asked, items, name="embedding")
        assert tower.ndcg.mean() > plain.ndcg.mean() + 0.2
