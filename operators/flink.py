"""The one operator of every job: runs a fold inside Flink."""

from collections.abc import Callable, Iterator
from typing import Any, Generic

from pyflink.common import Row, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from operators.counting import Counters
from operators.expiry import bytes_state
from operators.fold import Fold, StateT
from operators.messages import Incoming
from operators.steps import Steps


def incoming_type() -> TypeInformation:
    """How Flink sees an `Incoming`."""
    return Types.ROW_NAMED(
        list(Incoming._fields),
        [
            Types.PRIMITIVE_ARRAY(Types.BYTE()),
            Types.PRIMITIVE_ARRAY(Types.BYTE()),
            Types.STRING(),
            Types.INT(),
            Types.LONG(),
            Types.LONG(),
        ],
    )


def outgoing_type() -> TypeInformation:
    """How Flink sees what operators yield."""
    payload = Types.PRIMITIVE_ARRAY(Types.BYTE())
    return Types.ROW_NAMED(["topic", "key", "payload"], [Types.STRING(), payload, payload])


class FoldOperator(KeyedProcessFunction, Generic[StateT]):
    """Messages of a key in; what the fold says and dead letters out.

    `make_fold` is called where the operator runs, once; it must be picklable. The lifetime only
    bounds what is stored of keys that never come back.
    """

    def __init__(
        self, make_fold: Callable[[], Fold[StateT]], *, lifetime_days: int | None = None
    ) -> None:
        self._make_fold = make_fold
        self._lifetime_days = lifetime_days

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the fold, its state and the counters."""
        counters = Counters(runtime_context.get_metrics_group())
        self._fold = self._make_fold()
        self._state = runtime_context.get_state(
            bytes_state("state", lifetime_days=self._lifetime_days)
        )
        self._steps = Steps(self._fold, counters=counters)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002
        """Take one message of any of the job's topics."""
        held = self._steps.held(self._state.value())
        for out in self._steps.take(held, Incoming(*value)):
            yield Row(*out)
        if held.since:
            self._keep(held.stored, self._fold.encode(held.state))

    def _keep(self, before: bytes, after: bytes) -> None:
        if not after:
            self._state.clear()
        elif after != before:
            self._state.update(after)
