"""The fold of an item in a segment: rewards in, what they teach out."""

from collections.abc import Iterable

from domain.bandit import BanditRules, Posterior, learn, posterior_record, update_refusal
from domain.bandit_codec import decode_posterior, encode_posterior
from domain.events import EventLimits
from operators.fold import Counting, Outgoing, RefusedError, outgoing_record
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import BANDIT_POSTERIORS
from schemas.types import BanditUpdate

JOB = "bandit_posteriors"


class PosteriorFold:
    """What is known of an item in a segment; the key is checked against what the reward says."""

    job = JOB

    def __init__(self, *, rules: BanditRules, max_ahead_ms: int) -> None:
        self._rules = rules
        self._limits = EventLimits(max_ahead_ms=max_ahead_ms)

    def empty(self) -> Posterior:
        """An item that was never shown."""
        return Posterior()

    def decode(self, stored: bytes) -> Posterior:
        """Read a stored posterior."""
        return decode_posterior(stored)

    def encode(self, state: Posterior) -> bytes:
        """Write a posterior."""
        return encode_posterior(state)

    def step(self, state: Posterior, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        """Take one message of `bandit-updates`."""
        update = self._valid(message)
        if not learn(state, update, rules=self._rules):
            counters.count("duplicates")
            return ()
        counters.count("accepted")
        record = posterior_record(
            state,
            item_id=update.item_id,
            context_segment=update.context_segment,
            rules=self._rules,
        )
        return (outgoing_record(BANDIT_POSTERIORS, (message.key or b"").decode(), record),)

    def due_ms(self, state: Posterior) -> int | None:  # noqa: ARG002
        """Posteriors wait for nothing: they fade when they are next moved."""
        return None

    def wake(
        self,
        state: Posterior,  # noqa: ARG002
        log_time_ms: int,  # noqa: ARG002
        counters: Counting,  # noqa: ARG002
    ) -> Iterable[Outgoing]:
        """Nothing is ever due."""
        return ()

    def _valid(self, message: Incoming) -> BanditUpdate:
        update = decode(message.value, BanditUpdate)
        refused = update_refusal(
            update, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise RefusedError(refused.reason, refused.detail)
        return update
