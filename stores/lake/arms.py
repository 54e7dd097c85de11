"""What happened in the arms of an experiment, by SQL about the lake.

`domain/exposures.py` defines what counts; a test holds the two against each other.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from schemas.lake import IMPRESSIONS, REWARDS
from stores.lake.sql import JSON_ROWS, Answering


class ArmRow(NamedTuple):
    """An arm that somebody met; one without a name is of users that are left out."""

    arm: str
    users: int
    exposures: int
    conversions: int
    value_sum: float
    value_squares: float


def arm_rows(
    answering: Answering, experiment_id: str, *, conversions: Iterable[str]
) -> list[ArmRow]:
    """Ask for the arms of an experiment, by their names."""
    answer = answering.ask(arms_sql(experiment_id, conversions=conversions), JSON_ROWS)
    return [ArmRow(**row) for row in json.loads(answer)]


def arms_sql(experiment_id: str, *, conversions: Iterable[str]) -> str:
    """The statement behind it, for `freshet sql` too.

    >>> "experiment_id = 'ranking'" in arms_sql("ranking", conversions=["purchase"])
    True
    """
    converts = ", ".join(_quoted(action) for action in sorted(conversions))
    return f"""
WITH
    exposed AS (
        SELECT request_id, user_id, exposure.arm AS arm, exposure.forced AS forced
        FROM {IMPRESSIONS.name} ARRAY JOIN experiments AS exposure
        WHERE exposure.experiment_id = {_quoted(experiment_id)}
    ),
    users AS (
        SELECT
            user_id AS who,
            if(uniqExact(arm) = 1 AND max(forced) = 0, any(arm), '') AS met,
            uniqExact(request_id) AS times
        FROM exposed
        GROUP BY user_id
    ),
    outcomes AS (
        SELECT
            any(assumeNotNull(user_id)) AS who,
            any(toFloat64(reward) - ifNull(toFloat64(previous_reward), 0)) AS gained,
            any(ifNull(action, '') IN ({converts})) AS converts
        FROM {REWARDS.name}
        WHERE (request_id, user_id) IN (SELECT request_id, user_id FROM exposed)
        GROUP BY update_id
    ),
    did AS (
        SELECT who, sum(gained) AS value, max(converts) AS converted
        FROM outcomes
        GROUP BY who
    )
SELECT
    met AS arm,
    toInt64(count()) AS users,
    toInt64(sum(times)) AS exposures,
    toInt64(sum(converted)) AS conversions,
    sum(value) AS value_sum,
    sum(value * value) AS value_squares
FROM users LEFT JOIN did USING (who)
GROUP BY met
ORDER BY met"""  # noqa: S608


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
