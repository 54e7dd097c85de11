"""Each stage alone, on the small shop."""

from typing import Any

import numpy as np
import pytest

from domain.candidates import SOURCES
from domain.emotion import EmotionState, feel
from domain.ranking_features import FEATURES
from domain.windows import Windows
from schemas.types import Impression, ShownItem, UserEvent
from serving.beliefs import BeliefCache, prior_view
from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.stages import answer
from serving.stages.candidates import CandidateStage, Found, cold_candidates
from serving.stages.context import ContextStage, Known, activity_of
from serving.stages.explore import DRAWS, ExploreStage, Tried
from serving.stages.rank import Ranked, RankStage
from serving.stages.rerank import rerank
from serving.stages.shortlist import Shortlist, shortlist
from serving.trace import Trace
from serving.user_direction import UserDirection
from stores.views import UserView
from tests.clock import Clock
from tests.serving.pretended import (
    NOW_MS,
    PretendedNeighbors,
    PretendedOnline,
    PretendedPosteriors,
    PretendedRanker,
    PretendedVectors,
    admitted,
    axis,
    breaker,
    count_of,
    filled,
    interaction,
    item,
    known_user,
    posterior,
    shop,
    user_direction,
)


def ids(catalog: Catalog, found: Found) -> set[str]:
    return {catalog.ids[row] for row in found.rows}


async def read(online: PretendedOnline, catalog: Catalog, trace: Trace | None = None) -> Known:
    stage = ContextStage(
        online,
        breaker=breaker("redis"),
        catalog=catalog,
        metrics=Metrics(),
        timeout_s=0.05,
        recent=50,
    )
    return await stage.run(admitted(), trace or Trace())


async def find(
    known: Known,
    catalog: Catalog,
    *,
    request: dict[str, Any] | None = None,
    vectors: PretendedVectors | None = None,
    neighbors: PretendedNeighbors | None = None,
    trace: Trace | None = None,
    metrics: Metrics | None = None,
    direction: UserDirection | None = None,
) -> Found:
    stage = CandidateStage(
        vectors or PretendedVectors(),
        neighbors or PretendedNeighbors(),
        milvus=breaker("milvus"),
        redis=breaker("redis"),
        direction=direction or user_direction(catalog),
        catalog=catalog,
        metrics=metrics or Metrics(),
        milvus_timeout_s=0.1,
        redis_timeout_s=0.1,
    )
    return await stage.run(admitted(request), known, trace or Trace())


def sources(catalog: Catalog, found: Found) -> dict[str, str]:
    return {catalog.ids[row]: source for row, source in zip(found.rows, found.sources, strict=True)}


def test_admit_takes_the_time_that_the_request_speaks_of() -> None:
    said = admitted({"context": {"timestamp": "1970-01-01T00:00:05Z"}})
    assert (said.at_ms, said.now_ms) == (5_000, NOW_MS)
    assert admitted().at_ms == NOW_MS


def test_admit_takes_the_limits() -> None:
    limits = {"categories": ["mugs"], "exclude_items": ["a"], "price_range": {"min": 1, "max": 2}}
    wanted = admitted({"constraints": limits}).wanted
    assert wanted.categories == ("mugs",)
    assert wanted.exclude == {"a"}
    assert (wanted.min_price, wanted.max_price) == (1, 2)
    open_ended = admitted({"constraints": {"price_range": {"min": 1}}}).wanted
    assert (open_ended.min_price, open_ended.max_price) == (1, None)


async def test_context_knows_what_the_user_met() -> None:
    view = known_user(recent=(interaction("mug-0", "purchase"), interaction("nowhere")))
    known = await read(PretendedOnline(users={"u1": view}), filled())
    assert not known.is_cold
    assert [met.item_id for met in known.met] == ["mug-0"]
    assert known.taste.mean == pytest.approx(axis(0))
    assert known.taste.category_share == {"mugs": 1.0}
    assert known.taste.log_price == pytest.approx(np.log(5.0))


async def test_an_unknown_user_is_cold() -> None:
    trace = Trace()
    assert (await read(PretendedOnline(), filled(), trace)).is_cold
    assert trace.fallbacks == []


async def test_one_click_is_enough_not_to_be_cold() -> None:
    view = UserView(user_id="u1", version=1, recent=(interaction("mug-0"),))
    assert not (await read(PretendedOnline(users={"u1": view}), filled())).is_cold


async def test_without_consent_nothing_that_is_known_is_used() -> None:
    known = await read(PretendedOnline(users={"u1": known_user(consent=False)}), filled())
    assert known.is_cold
    assert known.met == ()


async def test_context_falls_back_while_the_store_is_away() -> None:
    trace = Trace()
    known = await read(PretendedOnline(away=True), filled(), trace)
    assert known.is_cold
    assert trace.fallbacks == ["context:redis_unavailable"]


async def test_a_store_that_is_slow_is_away() -> None:
    trace = Trace()
    await read(PretendedOnline(delay_s=1.0), filled(), trace)
    assert trace.fallbacks == ["context:redis_unavailable"]


class Reading:
    """The context stage over a store that counts, with a clock."""

    def __init__(self, view: UserView) -> None:
        self.online, self.clock, self.metrics = PretendedOnline(), Clock(), Metrics()
        self.sees(view)
        self.stage = ContextStage(
            self.online,
            breaker=breaker("redis"),
            catalog=filled(),
            metrics=self.metrics,
            timeout_s=0.05,
            recent=50,
            clock=self.clock,
        )

    def sees(self, view: UserView) -> None:
        self.online.users["u1"] = view

    async def __call__(self, trace: Trace | None = None) -> Known:
        return await self.stage.run(admitted(), trace or Trace())

    def lookups(self, outcome: str) -> float:
        return count_of(self.metrics, "freshet_cache_total", cache="user", outcome=outcome)


async def test_a_user_who_has_not_acted_is_as_remembered() -> None:
    read = Reading(known_user(stamp=b"1"))
    first, again = await read(), await read()
    assert again.view is first.view
    assert (read.lookups("miss"), read.lookups("hit")) == (1, 1)


async def test_a_user_who_has_acted_is_read_anew_at_once() -> None:
    read = Reading(known_user(stamp=b"1"))
    await read()
    read.sees(known_user(stamp=b"2", recent=(interaction("lamp-1"), interaction("mug-0"))))
    assert [met.item_id for met in (await read()).met] == ["lamp-1", "mug-0"]
    read.sees(UserView(user_id="u1", stamp=b"|"))
    assert (await read()).is_cold


async def test_nobody_is_remembered_for_longer_than_a_minute() -> None:
    read = Reading(known_user(stamp=b"1"))
    first = await read()
    read.clock.now = 61.0
    assert (await read()).view is not first.view


async def test_while_the_store_is_away_users_are_as_they_were() -> None:
    read, trace = Reading(known_user(stamp=b"1")), Trace()
    first = await read()
    read.online.away = True
    assert (await read(trace)).view is first.view
    assert trace.fallbacks == ["context:redis_unavailable"]


def test_activity_comes_from_the_windows() -> None:
    windows = Windows()
    for kind in ("view", "view", "click"):
        windows.add(kind, timestamp_ms=NOW_MS)
    windows.add("purchase", timestamp_ms=NOW_MS - 30 * 60_000)
    view = known_user(windows=windows.to_bytes())
    activity = activity_of(view, now_ms=NOW_MS)
    assert (activity.views_5min, activity.clicks_5min) == (2, 1)
    assert (activity.events_1h, activity.events_24h, activity.interactions) == (4, 4, 7)
    assert activity.last_event_ms == NOW_MS


def test_windows_that_cant_be_read_count_as_empty() -> None:
    activity = activity_of(known_user(windows=b"\xff\x00"), now_ms=NOW_MS)
    assert (activity.views_5min, activity.events_24h, activity.interactions) == (0, 0, 7)


async def test_candidates_come_from_all_sources() -> None:
    catalog, vectors = filled(), PretendedVectors()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    found = await find(known, catalog, vectors=vectors)
    assert ids(catalog, found) == {one.item_id for one in shop()}
    assert vectors.calls == 1
    assert sources(catalog, found)["mug-0"] == "collaborative"
    assert sources(catalog, found)["lamp-0"] == "trending"
    assert not found.reserve.any()


async def test_the_vector_store_is_told_the_limits_and_the_catalogue_has_the_last_word() -> None:
    catalog, vectors = filled(), PretendedVectors()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    constraints = {
        "categories": ["mugs"],
        "exclude_items": ["mug-1"],
        "price_range": {"min": 1, "max": 9},
    }
    found = await find(known, catalog, vectors=vectors, request={"constraints": constraints})
    assert ids(catalog, found) == {"mug-0", "mug-2"}
    asked = vectors.filters[0]
    assert (asked.categories, asked.exclude) == (("mugs",), ("mug-1",))
    assert (asked.price_min, asked.price_max) == (1.0, 9.0)


async def test_items_that_the_catalogue_doesnt_know_are_left_out_and_counted() -> None:
    catalog, metrics = filled(), Metrics()
    vectors = PretendedVectors(items=[*shop(), item("new", vector=axis(0))])
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    found = await find(known, catalog, vectors=vectors, metrics=metrics)
    assert "new" not in ids(catalog, found)
    assert count_of(metrics, "freshet_unknown_items_total", source="collaborative") == 1


async def test_neighbours_come_from_memory_while_the_vector_store_is_away() -> None:
    catalog, trace = filled(), Trace()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    there = await find(known, catalog)
    away = await find(known, catalog, vectors=PretendedVectors(away=True), trace=trace)
    assert trace.fallbacks == ["candidates:milvus_unavailable"]
    assert sources(catalog, away) == sources(catalog, there)


async def test_a_user_with_interactions_but_no_vector_is_asked_for_once() -> None:
    catalog, vectors = filled(), PretendedVectors()
    view = UserView(user_id="u1", version=1, recent=(interaction("mug-0"),))
    known = await read(PretendedOnline(users={"u1": view}), catalog)
    found = await find(known, catalog, vectors=vectors)
    assert vectors.calls == 1
    assert sources(catalog, found)["mug-0"] == "content"


def test_cold_candidates_are_the_mix_with_popular_ones_in_reserve() -> None:
    catalog = filled()
    found = cold_candidates(catalog, admitted().wanted, count=4)
    assert [catalog.ids[row] for row in found.rows[~found.reserve]] == [
        *("mug-0", "lamp-0", "mug-2", "mug-1"),
    ]
    assert found.sources[:4] == ("popular", "trending", "exploration", "popular")
    assert len(found.rows) == 6


def test_cold_candidates_obey_the_limits() -> None:
    catalog = filled()
    wanted = admitted({"constraints": {"categories": ["lamps"]}}).wanted
    assert ids(catalog, cold_candidates(catalog, wanted, count=10)) == {
        *("lamp-0", "lamp-1", "lamp-2"),
    }


async def rank(
    known: Known, found: Found, catalog: Catalog, ranker: PretendedRanker, trace: Trace
) -> Ranked:
    stage = RankStage(ranker, breaker=breaker("triton"), catalog=catalog, timeout_s=0.1)
    return await stage.run(admitted(), known, found, trace)


async def test_the_ranker_is_asked_with_a_row_for_each_candidate() -> None:
    catalog, ranker = filled(), PretendedRanker()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    found = await find(known, catalog)
    ranked = await rank(known, found, catalog, ranker, Trace())
    (features,) = ranker.asked
    assert features.shape == (len(found.rows), len(FEATURES))
    assert features.dtype == np.float32
    by_id = dict(zip((catalog.ids[row] for row in found.rows), ranked.scores, strict=True))
    assert by_id["mug-1"] > by_id["lamp-1"]
    assert ranked.model_version == "ranker:1"


async def test_the_prior_stands_in_while_the_ranker_is_away() -> None:
    catalog, trace = filled(), Trace()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    found = await find(known, catalog)
    there = await rank(known, found, catalog, PretendedRanker(), Trace())
    away = await rank(known, found, catalog, PretendedRanker(away=True), trace)
    assert trace.fallbacks == ["rank:triton_unavailable"]
    assert away.model_version == "prior"
    assert away.scores == pytest.approx(there.scores)


async def test_a_cold_start_is_ranked_lightly_and_asks_nobody() -> None:
    catalog, ranker = filled(), PretendedRanker()
    known = Known(view=UserView(user_id="u1"))
    found = cold_candidates(catalog, admitted().wanted, count=4)
    ranked = await rank(known, found, catalog, ranker, Trace())
    assert ranker.calls == 0
    assert ranked.model_version == "cold-start"
    assert ranked.scores.argmax() == 0


async def test_no_candidates_need_no_ranker() -> None:
    catalog, ranker = filled(), PretendedRanker()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    nothing = {"constraints": {"categories": ["nothing"]}}
    found = await find(known, catalog, request=nothing)
    ranked = await rank(known, found, catalog, ranker, Trace())
    assert (ranker.calls, len(ranked.scores)) == (0, 0)


async def try_out(
    request: dict[str, Any],
    known: Known,
    best: Shortlist,
    *,
    posteriors: PretendedPosteriors | None = None,
    trace: Trace | None = None,
) -> Tried:
    stage = ExploreStage(
        BeliefCache(
            posteriors or PretendedPosteriors(),
            breaker=breaker("redis"),
            prior=prior_view(1.0, 1.0),
        ),
        timeout_s=0.1,
    )
    return await stage.run(admitted(request), known, best, trace or Trace())


async def placed(
    request: dict[str, Any],
    catalog: Catalog,
    *,
    view: UserView | None = None,
    posteriors: PretendedPosteriors | None = None,
    trace: Trace | None = None,
) -> answer.Chosen:
    known = await read(PretendedOnline(users={"u1": view or known_user()}), catalog)
    asked = admitted(request)
    found = await find(known, catalog, request=request)
    ranked = await rank(known, found, catalog, PretendedRanker(), Trace())
    best = shortlist(catalog, known, found, ranked, count=asked.count)
    tried = await try_out(request, known, best, posteriors=posteriors, trace=trace)
    slots = rerank(asked, best, tried, catalog=catalog, trace=Trace())
    return answer.Chosen(admitted=asked, known=known, shortlist=best, tried=tried, slots=slots)


def shown(chosen: answer.Chosen, catalog: Catalog) -> list[str]:
    return [catalog.ids[chosen.row(slot)] for slot in chosen.slots]


async def test_without_exploration_and_variety_the_best_come_first() -> None:
    catalog = filled()
    options = {"exploration_rate": 0, "diversity_weight": 0}
    chosen = await placed({"options": options, "constraints": {"count": 3}}, catalog)
    assert {one.split("-")[0] for one in shown(chosen, catalog)} == {"mug"}
    assert [slot.propensity for slot in chosen.slots] == [1.0, 1.0, 1.0]


async def test_variety_brings_something_else_forward() -> None:
    catalog = filled()
    options = {"exploration_rate": 0, "diversity_weight": 0.9}
    chosen = await placed({"options": options, "constraints": {"count": 2}}, catalog)
    assert {one.split("-")[0] for one in shown(chosen, catalog)} == {"mug", "lamp"}


async def test_full_exploration_shows_where_items_came_from_and_their_chance() -> None:
    catalog = filled()
    chosen = await placed({"options": {"exploration_rate": 1.0}}, catalog)
    assert sorted(shown(chosen, catalog)) == sorted(catalog.ids)
    chances = [slot.propensity for slot in chosen.slots]
    assert chances == pytest.approx([1 / left for left in range(6, 0, -1)])
    body = answer.body(chosen, catalog, Trace())
    assert "exploration" in {one["source"] for one in body["items"]}
    assert body["metadata"]["exploration_applied"] is True


async def test_what_is_in_reserve_never_comes_before_the_mix() -> None:
    catalog = filled()
    known = Known(view=UserView(user_id="u1"))
    asked = admitted({"constraints": {"count": 2}})
    found = cold_candidates(catalog, asked.wanted, count=2)
    ranked = await rank(known, found, catalog, PretendedRanker(), Trace())
    request = {"constraints": {"count": 2}, "options": {"exploration_rate": 0}}
    best = shortlist(catalog, known, found, ranked, count=2)
    tried = await try_out(request, known, best)
    slots = rerank(asked, best, tried, catalog=catalog, trace=Trace())
    assert not any(best.reserve[slot.index] for slot in slots)


async def test_the_impression_says_what_was_shown_and_how_likely_it_was() -> None:
    catalog = filled()
    request = {
        "session_id": "s1",
        "context": {
            "page_type": "home",
            "placement": "feed",
            "device": "mobile",
            "geo": {"country": "GB", "region": "ENG", "city": "London"},
        },
        "constraints": {"count": 2},
        "options": {"exploration_rate": 0.2},
    }
    chosen = await placed(request, catalog)
    trace = Trace()
    trace.fall_back("rank", "triton")
    seen = answer.impression(chosen, catalog, trace)
    body = answer.body(chosen, catalog, trace)
    assert isinstance(seen, Impression)
    assert [one.item_id for one in seen.items] == [one["item_id"] for one in body["items"]]
    assert [one.propensity for one in seen.items] == [slot.propensity for slot in chosen.slots]
    assert [one.source for one in seen.items] == [one["source"] for one in body["items"]]
    assert (seen.request_id, seen.user_id, seen.session_id) == ("r1", "u1", "s1")
    assert (seen.page_type, seen.placement, seen.device) == ("home", "feed", "mobile")
    assert (seen.country, seen.region, seen.city) == ("GB", "ENG", "London")
    assert (seen.user_version, seen.model_version) == (7, "ranker:1")
    assert seen.fallbacks == ("rank:triton_unavailable",)
    assert seen.exploration_rate == 0.2
    assert seen.timestamp_ms == NOW_MS
    # 2027-01-15, 08:00 UTC.
    assert seen.context_segment == "mobile_gb_morning"
    assert len(seen.context_features) == 64


async def test_explanations_name_the_evidence() -> None:
    catalog = filled()
    options = {"include_explanation": True, "exploration_rate": 0, "diversity_weight": 0}
    chosen = await placed({"options": options}, catalog)
    said = {
        one["item_id"]: one["explanation"] for one in answer.body(chosen, catalog, Trace())["items"]
    }
    assert said["mug-1"]["primary_reason"] == "Similar to Item mug-0, which you clicked"
    assert said["mug-1"]["signals"][:2] == ["clicked_similar", "category_match"]
    # Not "similar to itself".
    assert said["mug-0"]["primary_reason"] == "Based on your recent interest in mugs"
    assert said["lamp-0"]["primary_reason"] == "Number 1 among what is trending now"


async def test_without_being_asked_nothing_is_explained() -> None:
    catalog = filled()
    chosen = await placed({}, catalog)
    assert {one["explanation"] for one in answer.body(chosen, catalog, Trace())["items"]} == {None}


async def test_an_item_that_was_deleted_meanwhile_has_no_description() -> None:
    catalog = Catalog()
    catalog.apply([item("a")], now_ms=NOW_MS)
    chosen = await placed({}, catalog)
    catalog.entries[0] = None
    assert answer.body(chosen, catalog, Trace())["items"][0]["metadata"]["title"] == ""


async def test_neighbours_of_the_latest_liked_items_are_candidates() -> None:
    catalog = filled()
    view = known_user(
        recent=(interaction("mug-0"), interaction("lamp-0", "dismiss"), interaction("mug-1"))
    )
    known = await read(PretendedOnline(users={"u1": view}), catalog)
    neighbors = PretendedNeighbors(beside={"mug-0": {"lamp-2": 0.5, "nowhere": 0.4}})
    found = await find(known, catalog, neighbors=neighbors)
    assert neighbors.asked == [("mug-0", "mug-1")]
    assert sources(catalog, found)["lamp-2"] == "neighbour"
    beside = dict(zip(catalog.ids_of(found.rows), found.beside.tolist(), strict=True))
    assert beside["lamp-2"] == pytest.approx(0.5 / 1.8)
    assert beside["mug-2"] == 0.0


async def test_without_neighbours_the_other_sources_answer_and_say_so() -> None:
    catalog, trace = filled(), Trace()
    known = await read(PretendedOnline(users={"u1": known_user()}), catalog)
    found = await find(known, catalog, neighbors=PretendedNeighbors(away=True), trace=trace)
    assert trace.fallbacks == ["candidates:redis_unavailable"]
    assert ids(catalog, found) == {one.item_id for one in shop()}


@pytest.mark.parametrize(("bought", "repeats"), [(("mug-0",), False), (("mug-0", "mug-0"), True)])
async def test_what_is_bought_again_is_a_source_for_who_buys_again(
    bought: tuple[str, ...], *, repeats: bool
) -> None:
    catalog = filled()
    recent = [interaction("lamp-1", "purchase"), *(interaction(one, "purchase") for one in bought)]
    known = await read(PretendedOnline(users={"u1": known_user(recent=tuple(recent))}), catalog)
    found = await find(known, catalog)
    again = found.from_sources[:, SOURCES.index("repeat")]
    expected = {"lamp-1", "mug-0"} if repeats else set()
    assert set(catalog.ids_of(found.rows[again])) == expected


async def test_what_the_user_sent_away_does_not_come_back() -> None:
    catalog = filled()
    view = known_user(recent=(interaction("mug-0"), interaction("mug-1", "dismiss")))
    known = await read(PretendedOnline(users={"u1": view}), catalog)
    assert "mug-1" not in ids(catalog, await find(known, catalog))


SEGMENT = "unknown_xx_morning"


async def test_what_was_rewarded_rises_and_what_was_not_falls() -> None:
    catalog = filled()
    still = {"options": {"exploration_rate": 0, "diversity_weight": 0}}
    plain = shown(await placed(still, catalog), catalog)
    posteriors = PretendedPosteriors(
        learned={
            (plain[-1], SEGMENT): posterior(990.0, 10.0),
            (plain[0], SEGMENT): posterior(1.0, 999.0),
        }
    )
    chosen = await placed(still, catalog, posteriors=posteriors)
    moved = shown(chosen, catalog)
    assert moved.index(plain[-1]) < plain.index(plain[-1])
    assert moved.index(plain[0]) > 0
    assert {slot.propensity for slot in chosen.slots} == {1.0}
    assert all(one.sampled_value is None for one in impressed(chosen, catalog))


def impressed(chosen: answer.Chosen, catalog: Catalog) -> tuple[ShownItem, ...]:
    return answer.impression(chosen, catalog, Trace()).items


async def test_draws_of_what_is_unsure_are_logged_with_their_exact_chance() -> None:
    catalog = filled()
    request = {"options": {"exploration_rate": 0.2}, "constraints": {"count": 3}}
    chosen = await placed(request, catalog)
    again = await placed(request, catalog)
    assert shown(chosen, catalog) == shown(again, catalog)
    for one in impressed(chosen, catalog):
        assert one.sampled_value is not None
        assert 0 <= one.sampled_value <= 1
        assert one.uncertainty == pytest.approx(1 / np.sqrt(2))
    # A place goes by one of sixteen draws, or with the rate of 0.2 by any of those left.
    for left, slot in zip((6, 5, 4), chosen.slots, strict=True):
        by_draws = (slot.propensity - 0.2 / left) / 0.8 * DRAWS
        assert by_draws == pytest.approx(round(by_draws), abs=1e-6)


async def test_draws_follow_what_rewards_taught() -> None:
    catalog = filled()
    posteriors = PretendedPosteriors(
        learned={(item_id, SEGMENT): posterior(1.0, 9_999.0) for item_id in catalog.ids}
    )
    sampled = [
        one.sampled_value
        for one in impressed(await placed({}, catalog, posteriors=posteriors), catalog)
    ]
    assert max(value for value in sampled if value is not None) < 0.01


async def test_a_store_without_posteriors_leaves_the_prior_and_says_so() -> None:
    catalog, trace = filled(), Trace()
    await placed({}, catalog, posteriors=PretendedPosteriors(away=True), trace=trace)
    assert trace.fallbacks == ["explore:redis_unavailable"]


async def test_a_frustrated_user_is_shown_what_is_sure() -> None:
    catalog = filled()
    mood = EmotionState()
    for at_ms in range(NOW_MS - 9_000, NOW_MS, 1_000):
        event = UserEvent(
            event_id=str(at_ms), user_id="u1", event_type="dismiss", timestamp_ms=at_ms
        )
        feel(mood, event=event, text=None, timestamp_ms=at_ms)
    view = known_user(emotion=mood.to_bytes())
    still = {"options": {"exploration_rate": 0, "diversity_weight": 0}}
    last = shown(await placed(still, catalog), catalog)[-1]
    worth = []
    # Of the same promise, counted twenty times and a thousand times.
    for believed in (posterior(1.0, 19.0), posterior(50.0, 950.0)):
        learned = PretendedPosteriors(learned={(last, SEGMENT): believed})
        chosen = await placed(still, catalog, view=view, posteriors=learned)
        tried, best = chosen.tried, chosen.shortlist
        assert "frustration_wants_sure_things" in [rule.name for rule in tried.rules]
        place = best.ids.index(last)
        worth.append(float(tried.relevance[place]) - float(best.relevance(NOTHING)[place]))
    assert worth[1] == pytest.approx(1.2 * worth[0])
    assert (await placed(still, catalog)).tried.rules == ()


NOTHING = np.zeros(6)


def test_labels_are_traits() -> None:
    catalog = Catalog()
    catalog.apply(
        [
            item("a", category_id="premium"),
            item("b", tags=("short", "comparison")),
            item("c", categories=("comfort",)),
        ],
        now_ms=NOW_MS,
    )
    traits = catalog.traits(np.array(catalog.rows(["a", "b", "c"])))
    assert traits["aspirational"].tolist() == [True, False, False]
    assert traits["short"].tolist() == [False, True, False]
    assert traits["comparing"].tolist() == [False, True, False]
    assert traits["comforting"].tolist() == [False, False, True]
    assert not traits["long"].any()
