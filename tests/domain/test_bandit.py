from collections.abc import Sequence
from dataclasses import replace
from math import exp, exp2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bandit import (
    DEFAULT_RULES,
    BanditRules,
    Posterior,
    alpha_beta,
    confidence_of,
    context_uncertainty,
    covariance_matrix,
    learn,
    posterior_record,
    update_refusal,
    variances_of,
)
from domain.bandit_codec import (
    FORMAT_VERSION,
    PosteriorError,
    decode_posterior,
    encode_posterior,
)
from domain.events import EventLimits
from domain.segments import CONTEXT_DIM
from schemas.types import BanditUpdate

GOLDEN = Path(__file__).parent / "golden"
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
FADING = BanditRules(half_life_ms=HOUR_MS)


def update(number: int, reward: float, at_ms: int = START_MS, **more: Any) -> BanditUpdate:
    return BanditUpdate(
        update_id=f"e{number}:i1",
        item_id="i1",
        context_segment="mobile_us_evening",
        reward=reward,
        timestamp_ms=at_ms,
        **more,
    )


def learned(updates: Sequence[BanditUpdate], rules: BanditRules = DEFAULT_RULES) -> Posterior:
    posterior = Posterior()
    for one in updates:
        assert learn(posterior, one, rules=rules)
    return posterior


def features(seed: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng(seed).uniform(-1, 1, CONTEXT_DIM).tolist())


def test_rewards_and_rewards_missed_are_added_to_the_prior() -> None:
    rules = BanditRules(prior_alpha=2.0, prior_beta=5.0)
    posterior = learned([update(1, 1.0), update(2, 0.3), update(3, 0.0)], rules)
    assert alpha_beta(posterior, rules) == pytest.approx((3.3, 6.7))


def test_a_correction_moves_by_the_difference_and_is_no_new_trial() -> None:
    first, better = update(1, 0.3, explored=True), update(2, 1.0, previous_reward=0.3)
    corrected = learned([first, replace(better, explored=True)])
    assert alpha_beta(corrected, DEFAULT_RULES) == pytest.approx((2.0, 1.0))
    assert (corrected.version, corrected.impressions, corrected.explored) == (2, 1, 1)
    assert corrected.rewarded == 1


def test_statistics_count_showings_rewards_and_what_they_were_for() -> None:
    told = [(0.0, True), (0.5, False), (0.0, None), (1.0, False)]
    posterior = learned([update(n, reward, explored=why) for n, (reward, why) in enumerate(told)])
    corrected = update(9, 0.6, previous_reward=0.0)
    assert learn(posterior, corrected, rules=DEFAULT_RULES)
    record = posterior_record(
        posterior, item_id="i1", context_segment="s", rules=BanditRules(prior_alpha=3.0)
    )
    assert (record.total_impressions, record.total_rewards) == (4, 3)
    assert (record.exploration_count, record.exploitation_count) == (1, 2)
    assert (record.prior_alpha, record.prior_beta, record.version) == (3.0, 1.0, 5)
    assert record.alpha == pytest.approx(3.0 + 2.1)


def test_an_update_that_is_told_again_changes_nothing() -> None:
    posterior = learned([update(1, 0.5, context_features=features(1))])
    before = encode_posterior(posterior)
    again = update(1, 0.9, START_MS + 5, context_features=features(2))
    assert not learn(posterior, again, rules=DEFAULT_RULES)
    assert encode_posterior(posterior) == before


def test_only_the_last_ids_are_remembered() -> None:
    rules = BanditRules(dedup_ids=2)
    posterior = learned([update(n, 0.0) for n in range(4)], rules)
    assert [learn(posterior, update(n, 0.0), rules=rules) for n in (3, 2, 0)] == [
        False,
        False,
        True,
    ]


def test_a_correction_of_what_was_never_counted_leaves_no_negative_counts() -> None:
    posterior = learned([update(1, 1.0, previous_reward=0.2), update(2, 0.0, previous_reward=1.0)])
    assert (posterior.gained, posterior.rewarded) == (0.0, 0)
    assert posterior.missed >= 0.0
    assert encode_posterior(posterior)


def naive(updates: Sequence[BanditUpdate], half_life_ms: int) -> tuple[float, float]:
    """Every showing once, by its last reward and its age at the latest of them."""
    last_ms = max(one.timestamp_ms for one in updates)
    gained = missed = 0.0
    for one in updates:
        weight = exp2(-(last_ms - one.timestamp_ms) / half_life_ms)
        before = one.previous_reward
        gained += weight * (one.reward - (before or 0.0))
        missed += weight * ((before - one.reward) if before is not None else 1 - one.reward)
    return gained, missed


@st.composite
def histories(draw: st.DrawFn) -> list[BanditUpdate]:
    """Showings at any times, some of them corrected later in the log."""
    told, later = [], []
    for n in range(draw(st.integers(1, 15))):
        at_ms = START_MS + draw(st.integers(0, 20 * HOUR_MS))
        reward = draw(st.sampled_from([0.0, 0.3, 0.5]))
        told.append(update(n, reward, at_ms))
        if draw(st.booleans()):
            later.append(update(100 + n, 1.0, at_ms, previous_reward=reward))
    return told + draw(st.permutations(later))


@given(histories())
def test_fading_counts_each_showing_by_its_age_whatever_the_order(
    told: list[BanditUpdate],
) -> None:
    posterior = learned(told, FADING)
    gained, missed = naive(told, HOUR_MS)
    assert posterior.gained == pytest.approx(gained, abs=1e-9)
    assert posterior.missed == pytest.approx(missed, abs=1e-9)


def test_after_many_half_lives_the_prior_is_left() -> None:
    posterior = learned([update(n, 1.0, START_MS) for n in range(1_000)], FADING)
    assert alpha_beta(posterior, FADING)[0] == pytest.approx(1_001.0)
    learn(posterior, update(2_000, 0.0, START_MS + 40 * HOUR_MS), rules=FADING)
    assert alpha_beta(posterior, FADING) == pytest.approx((1.0, 2.0))


def test_a_showing_from_before_1970_is_as_good_as_any() -> None:
    posterior = learned([update(1, 1.0, -5_000)], FADING)
    assert (posterior.timestamp_ms, posterior.gained) == (-5_000, 1.0)


def test_the_context_model_is_the_documents() -> None:
    """Algorithm 2 of the document, line by line, in double precision."""
    weights, covariance = np.zeros(CONTEXT_DIM), np.eye(CONTEXT_DIM) * 0.1
    told = [update(n, float(n % 3 == 0), context_features=features(n)) for n in range(40)]
    for one in told:
        x = np.array(one.context_features)
        error = one.reward - 1 / (1 + exp(-weights @ x))
        weights += 0.01 * error * x
        covariance *= 0.99
        covariance += 0.01 * np.outer(x, x)
    model = learned(told).model
    assert model is not None
    assert model.weights == pytest.approx(weights, abs=1e-6)
    assert covariance_matrix(model) == pytest.approx(covariance, abs=1e-6)
    assert variances_of(model) == pytest.approx(covariance.diagonal(), abs=1e-6)


def test_a_correction_leaves_the_weights_as_if_the_reward_had_been_known_at_once() -> None:
    x = features(1)
    better = update(2, 1.0, previous_reward=0.3, context_features=x)
    corrected = learned([update(1, 0.3, context_features=x), better]).model
    at_once = learned([update(1, 1.0, context_features=x)]).model
    assert corrected is not None
    assert at_once is not None
    assert corrected.weights == pytest.approx(at_once.weights, abs=1e-6)
    assert (corrected.covariance == at_once.covariance).all()


def test_without_features_there_is_no_model() -> None:
    posterior = learned([update(1, 1.0)])
    assert posterior.model is None
    assert len(encode_posterior(posterior)) < 100
    record = posterior_record(posterior, item_id="i", context_segment="s", rules=DEFAULT_RULES)
    assert (record.weights, record.variances) == (b"", b"")


def test_what_is_published_of_the_model_is_its_weights_and_variances() -> None:
    posterior = learned([update(1, 1.0, context_features=features(1))])
    record = posterior_record(posterior, item_id="i", context_segment="s", rules=DEFAULT_RULES)
    assert np.frombuffer(record.weights, "<f4") == pytest.approx(
        0.01 * 0.5 * np.array(features(1)), abs=1e-6
    )
    assert np.frombuffer(record.variances, "<f4")[7] == pytest.approx(
        0.099 + 0.01 * features(1)[7] ** 2, abs=1e-6
    )


def test_a_direction_becomes_known_by_being_seen() -> None:
    east, north = (tuple(row) for row in np.eye(CONTEXT_DIM)[:2].tolist())
    posterior = learned([update(n, 1.0, context_features=east) for n in range(100)])
    assert posterior.model is not None
    variances = variances_of(posterior.model)
    seen, unseen = (context_uncertainty(variances, np.array(x, np.float32)) for x in (east, north))
    assert seen < 0.15 < 0.4 < unseen < 1.0


@pytest.mark.parametrize(
    ("alpha", "beta", "expected"),
    [
        (1.0, 1.0, (0.7071, 0.5, 0.05, 0.95)),
        (2.0, 6.0, (0.3536, 0.25, 0.0534, 0.5207)),
        (30.0, 70.0, (0.1, 0.3, 0.2273, 0.3773)),
    ],
)
def test_confidence(alpha: float, beta: float, expected: tuple[float, ...]) -> None:
    found = confidence_of(alpha, beta)
    told = (found.uncertainty, found.expected_value, found.lower, found.upper)
    assert told == pytest.approx(expected, abs=1e-4)


GOOD = update(1, 0.5, context_features=features(1))


def test_good_updates_are_taken() -> None:
    key = b"i1:mobile_us_evening"
    for one in (GOOD, replace(GOOD, context_features=()), replace(GOOD, previous_reward=0.1)):
        assert update_refusal(one, key=key, log_time_ms=START_MS, limits=EventLimits()) is None
    colons = replace(GOOD, item_id="a:b:c")
    taken = update_refusal(
        colons, key=b"a:b:c:mobile_us_evening", log_time_ms=START_MS, limits=EventLimits()
    )
    assert taken is None


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"update_id": ""}, "empty_id", "update_id is empty; each update needs one"),
        ({"item_id": ""}, "empty_id", "item_id is empty"),
        ({"context_segment": ""}, "empty_id", "context_segment is empty"),
        ({"item_id": "ü" * 129}, "too_long", "item_id has more than 256 bytes"),
        ({"context_segment": "a:b"}, "bad_segment", "context_segment has a colon"),
        ({"item_id": "i2"}, "wrong_key", "key b'i1:mobile_us_evening'; the message key must be"),
        ({"reward": 1.1}, "bad_reward", "reward is 1.1; 0 to 1 is allowed"),
        ({"reward": float("nan")}, "bad_reward", "reward is nan"),
        ({"previous_reward": -0.1}, "bad_reward", "previous_reward is -0.1"),
        ({"context_features": (1.0,)}, "bad_features", "1 features; 64 or none are allowed"),
        ({"context_features": (1.5,) * 64}, "bad_features", "a feature is not in -1 to 1"),
        ({"context_features": (float("nan"),) * 64}, "bad_features", "a feature is not in"),
        ({"timestamp_ms": START_MS + 300_001}, "in_future", "300001 ms ahead of the log"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    change: dict[str, Any], reason: str, detail: str
) -> None:
    refused = update_refusal(
        replace(GOOD, **change),
        key=b"i1:mobile_us_evening",
        log_time_ms=START_MS,
        limits=EventLimits(),
    )
    assert refused is not None
    assert refused.reason == reason
    assert detail in refused.detail


def test_no_key_is_a_wrong_key() -> None:
    refused = update_refusal(GOOD, key=None, log_time_ms=START_MS, limits=EventLimits())
    assert refused is not None
    assert refused.detail.startswith("no key; ")


def known_posterior() -> Posterior:
    """A posterior with all that its bytes can hold, of numbers that are exact in binary."""
    posterior = Posterior(
        version=7,
        timestamp_ms=START_MS,
        log_time_ms=START_MS + 40,
        gained=2.25,
        missed=3.5,
        impressions=6,
        rewarded=4,
        explored=2,
        exploited=3,
    )
    learn(posterior, update(1, 0.5, context_features=(0.5,) * 64), rules=DEFAULT_RULES)
    assert posterior.model is not None
    posterior.model.weights[:] = np.arange(64) / 64
    posterior.model.covariance[:] = np.arange(64 * 65 // 2) / 4_096
    return posterior


def same(one: Posterior, other: Posterior) -> bool:
    return encode_posterior(one) == encode_posterior(other)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_ever_written_is_read(version: int) -> None:
    stored = (GOLDEN / f"bandit_posterior_v{version}.bin").read_bytes()
    assert same(decode_posterior(stored), known_posterior())


def test_what_is_written_now_is_what_the_file_holds() -> None:
    stored = (GOLDEN / f"bandit_posterior_v{FORMAT_VERSION}.bin").read_bytes()
    assert encode_posterior(known_posterior()) == stored


def test_reading_gives_back_what_was_written_and_can_be_learned_on() -> None:
    posterior = known_posterior()
    read = decode_posterior(encode_posterior(posterior))
    for one in (posterior, read):
        learn(one, update(2, 1.0, context_features=features(3)), rules=FADING)
    assert same(posterior, read)


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + encode_posterior(known_posterior())[1:]
    with pytest.raises(PosteriorError, match="posterior of format 2; this version reads 1"):
        decode_posterior(stored)


@pytest.mark.parametrize("size", [10, 76, 80, 100, 8_656])
def test_damaged_bytes_are_named(size: int) -> None:
    with pytest.raises(PosteriorError, match=f"{size} bytes of a posterior are damaged"):
        decode_posterior(encode_posterior(known_posterior())[:size])
