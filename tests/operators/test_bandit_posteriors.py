from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain.bandit import BanditRules
from domain.bandit_codec import PosteriorError
from operators.bandit_posteriors import PosteriorFold
from schemas.codec import encode
from schemas.topics import BANDIT_POSTERIORS, BANDIT_UPDATES
from schemas.types import BanditPosterior, BanditUpdate, DeadLetter

NOW_MS = 1_700_000_000_000
UPDATE = BanditUpdate(
    update_id="e1:i:1",
    item_id="i:1",
    context_segment="mobile_us_evening",
    reward=0.5,
    timestamp_ms=NOW_MS - 9,
    log_time_ms=NOW_MS - 5,
    context_features=(0.5,) * 64,
    explored=True,
)
KEY = b"i:1:mobile_us_evening"


@pytest.fixture
def lived(run: Callable[[Any], Any]) -> Any:
    return run(PosteriorFold(rules=BanditRules(prior_alpha=2.0), max_ahead_ms=1_000))


def reward(lived: Any, update: BanditUpdate, key: bytes = KEY) -> list[Any]:
    out: list[Any] = lived.send(BANDIT_UPDATES.name, encode(update), key=key)
    return out


def test_a_reward_moves_its_posterior_which_leaves_whole(lived: Any) -> None:
    reward(lived, UPDATE)
    ((topic, key, told),) = reward(lived, replace(UPDATE, update_id="e2:i:1", reward=1.0))
    assert (topic, key) == (BANDIT_POSTERIORS.name, KEY.decode())
    assert isinstance(told, BanditPosterior)
    assert (len(told.weights), len(told.variances)) == (256, 256)
    assert replace(told, weights=b"", variances=b"") == BanditPosterior(
        item_id="i:1",
        context_segment="mobile_us_evening",
        version=2,
        timestamp_ms=NOW_MS - 9,
        log_time_ms=NOW_MS - 5,
        alpha=3.5,
        beta=1.5,
        prior_alpha=2.0,
        prior_beta=1.0,
        total_impressions=2,
        total_rewards=2,
        exploration_count=2,
    )
    assert lived.counters == {"accepted": 2}
    assert list(lived.states) == [KEY]


def test_a_reward_that_is_told_again_gives_nothing(lived: Any) -> None:
    reward(lived, UPDATE)
    assert reward(lived, UPDATE) == []
    assert lived.counters == {"accepted": 1, "duplicates": 1}


def test_an_item_is_another_one_in_another_segment(lived: Any) -> None:
    reward(lived, UPDATE)
    other = replace(UPDATE, context_segment="tv_de_night")
    ((_, _, told),) = reward(lived, other, key=b"i:1:tv_de_night")
    assert told.version == 1


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (None, KEY, "empty"),
        (b"{}", KEY, "not_avro"),
        (encode(UPDATE), None, "wrong_key"),
        (encode(UPDATE), b"i:1", "wrong_key"),
        (encode(replace(UPDATE, reward=2.0)), KEY, "bad_reward"),
        (encode(replace(UPDATE, context_segment="us:evening")), b"i:1:us:evening", "bad_segment"),
        (encode(replace(UPDATE, timestamp_ms=NOW_MS + 9_999)), KEY, "in_future"),
    ],
)
def test_what_cannot_be_used_becomes_a_dead_letter(
    lived: Any, value: bytes | None, key: bytes | None, reason: str
) -> None:
    letter: DeadLetter = lived.send_bad(BANDIT_UPDATES.name, value, key=key)
    assert (letter.reason, letter.job) == (reason, "bandit_posteriors")
    assert lived.states == {}


def test_state_that_cannot_be_read_stops_the_job(lived: Any) -> None:
    lived.states[KEY] = b"\x63"
    with pytest.raises(PosteriorError, match="format 99"):
        reward(lived, UPDATE)
