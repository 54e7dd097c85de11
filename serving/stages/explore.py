"""Decides beforehand in which places something else is tried."""

from domain.explore import ExplorationPlan, plan_exploration
from serving.stages.admit import Admitted
from serving.trace import Trace


def explore(admitted: Admitted, trace: Trace) -> ExplorationPlan:
    """The plan of a request; its chance comes from the request's id alone."""
    rate = admitted.request.options.exploration_rate
    trace.note(rate=rate)
    return plan_exploration(rate=rate, slots=admitted.count, seed=admitted.request_id)
