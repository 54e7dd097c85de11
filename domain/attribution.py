"""Which showing a reaction belongs to, and what it is worth: one reward for each place of a list.

Impressions and events come from two topics, and either may be read before the other. What comes out
is decided by log times alone:

* A showing is open from its log time to its closing: the end of its window, or the log time of the
  impression that is `pending_requests` further on, whichever comes first.
* A reaction that names its request counts if that showing isn't closed by the reaction's log time.
  The answer may even stand later in the log than the reaction to it, within the window: services
  log what they have shown without waiting. Such a reaction is kept until its showing is read.
* A reaction that names none belongs to the latest showing of the item that is open at its log time.
  Which one that is can't be known until the log is read up to there, so it waits for `expire`, and
  later reactions to the same item wait behind it.
* The first reaction gives its reward at once. A stronger one replaces it and says what it replaces.
* What nobody has reacted to when its showing closes gets no reward, said by `expire`.
* Every reward bears the time of its showing: a correction then fades as what it corrects does.

Two limits keep the state small. Where one is hit, which takes topics that are read far apart, the
outcome follows the order of reading, and it is counted: `showings_forced` (a showing is closed
before the log is read up to its closing) and `reactions_forgotten`. The order of reading also
decides where a reaction to a showing that many others have followed is read before the impression
that closes it: it was told at once, and stays.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, error
from typing import Self

from domain.packed import PackedReader, pack_text
from domain.recent_ids import ID_BYTES, digest_of, ids_from_bytes, ids_to_bytes, remember
from domain.rewards import UNREACTED_REWARD, reward_of
from domain.showings import (
    Reaction,
    Showing,
    next_reaction,
    next_showing,
    pack_reaction,
    pack_showing,
    showing_of,
)
from schemas.types import BanditUpdate, Impression, UserEvent

FORMAT_VERSION = 1
# Impressions may be read ahead of the events around them.
READ_AHEAD = 8
CLOSED_IDS = 16
# version, showings, reactions, ids of closed requests
_HEADER = Struct("<BHHB")


class ShowingsError(Exception):
    """Stored showings can't be read."""


@dataclass(frozen=True, kw_only=True)
class AttributionRules:
    """How long, and for how many answers, reactions are awaited.

    Many reactions wait only where a job catches up and has read events ahead of answers.
    """

    window_ms: int = 1_800_000
    pending_requests: int = 8
    waiting_reactions: int = 256


DEFAULT_RULES = AttributionRules()


class Showings:
    """The answers to one user that may still be reacted to, changed in place.

    `counts` says what happened to those that led to no reward of their own; take it with
    `drain_counts`.

    >>> from schemas.types import ShownItem
    >>> shown = ShownItem(item_id="i1", rank=1, score=0.5, source="content")
    >>> answer = Impression(request_id="r", user_id="u", timestamp_ms=0, items=(shown,))
    >>> showings = Showings()
    >>> showings.show(answer, log_time_ms=5)
    []
    >>> click = UserEvent(event_id="e", user_id="u", event_type="click", timestamp_ms=9,
    ...     item_id="i1", request_id="r")
    >>> [update.reward for update in showings.react(click, log_time_ms=11)]
    [0.3]
    """

    __slots__ = ("_closed", "_counts", "_open", "_user_id", "_waiting")

    def __init__(self) -> None:
        self._user_id = ""
        self._open: list[Showing] = []
        self._waiting: list[Reaction] = []
        self._closed: array[int] = array("Q")
        self._counts: Counter[str] = Counter()

    def show(
        self,
        impression: Impression,
        *,
        log_time_ms: int,
        rules: AttributionRules = DEFAULT_RULES,
    ) -> list[BanditUpdate]:
        """Take in an answer; one that is known already, or shows nothing, changes nothing."""
        request_id = impression.request_id
        if not impression.items:
            return []
        if self._find(request_id) is not None or digest_of(request_id) in self._closed:
            self._counts["impressions_repeated"] += 1
            return []
        self._user_id = impression.user_id
        closes_ms = log_time_ms + rules.window_ms
        self._open.append(showing_of(impression, log_time_ms=log_time_ms, closes_ms=closes_ms))
        self._displace(log_time_ms, rules)
        return [*self._settle(None, rules.window_ms), *self._force(rules)]

    def react(
        self, event: UserEvent, *, log_time_ms: int, rules: AttributionRules = DEFAULT_RULES
    ) -> list[BanditUpdate]:
        """Take in an event; one that says nothing about an item changes nothing.

        Whoever calls gives each event once, in the log's order.
        """
        reward = reward_of(event)
        if reward is None or event.item_id is None:
            return []
        self._user_id = event.user_id
        self._waiting.append(
            Reaction(
                event_id=event.event_id,
                item_id=event.item_id,
                request_id=event.request_id,
                action=event.event_type,
                reward=reward,
                log_time_ms=log_time_ms,
            )
        )
        updates = list(self._settle(None, rules.window_ms))
        if len(self._waiting) > rules.waiting_reactions:
            self._counts["reactions_forgotten"] += 1
            del self._waiting[0]
        return updates

    def expire(
        self, log_time_ms: int, *, rules: AttributionRules = DEFAULT_RULES
    ) -> list[BanditUpdate]:
        """Settle what the log's having passed a time decides."""
        updates = list(self._settle(log_time_ms, rules.window_ms))
        while self._open and self._open[0].closes_ms <= log_time_ms:
            updates += self._close()
        if not self._open:
            # Only an answer that is told again, and late, could ask for these.
            self._closed = array("Q")
        return updates

    def due_ms(self, *, rules: AttributionRules = DEFAULT_RULES) -> int | None:
        """The log time at which `expire` has something to do, None for never."""
        due = [showing.closes_ms for showing in self._open[:1]]
        for reaction in self._waiting:
            named = reaction.request_id is not None
            due.append(reaction.log_time_ms + rules.window_ms * named)
        return min(due, default=None)

    def drain_counts(self) -> dict[str, int]:
        """What was counted since the last call."""
        counts = dict(self._counts)
        self._counts.clear()
        return counts

    def to_bytes(self) -> bytes:
        """A compact form, empty where nothing is awaited.

        >>> Showings().to_bytes()
        b''
        """
        if not (self._open or self._waiting or self._closed):
            return b""
        return b"".join(self._chunks())

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what `to_bytes` wrote.

        >>> Showings.from_bytes(b"").due_ms() is None
        True
        """
        showings = cls()
        if stored:
            try:
                showings._read(stored)
            except (ValueError, IndexError, error) as problem:
                raise ShowingsError(
                    f"{len(stored)} bytes of showings are damaged: {problem}"
                ) from None
        return showings

    def _displace(self, log_time_ms: int, rules: AttributionRules) -> None:
        """Let the newest showing close those that it follows too far behind."""
        for showing in self._open[: -rules.pending_requests]:
            if showing.closes_ms > log_time_ms:
                showing.closes_ms = log_time_ms
                self._counts["showings_displaced"] += 1

    def _force(self, rules: AttributionRules) -> Iterator[BanditUpdate]:
        while len(self._open) > rules.pending_requests * READ_AHEAD:
            self._counts["showings_forced"] += 1
            yield from self._close()

    def _close(self) -> Iterator[BanditUpdate]:
        showing = self._open.pop(0)
        remember(self._closed, showing.request_id, limit=CLOSED_IDS)
        for place in range(len(showing.shown.item_ids)):
            if place not in showing.rewards:
                yield self._unreacted(showing, place)

    def _settle(self, passed_ms: int | None, window_ms: int) -> Iterator[BanditUpdate]:
        """Credit the reactions that needn't wait any longer, in the log's order."""
        waiting, self._waiting = self._waiting, []
        blocked: set[str] = set()
        for reaction in waiting:
            if reaction.item_id in blocked or self._must_wait(reaction, passed_ms, window_ms):
                self._waiting.append(reaction)
                if reaction.request_id is None:
                    blocked.add(reaction.item_id)
            else:
                yield from self._credit(reaction, window_ms)

    def _must_wait(self, reaction: Reaction, passed_ms: int | None, window_ms: int) -> bool:
        if reaction.request_id is None:
            return passed_ms is None or reaction.log_time_ms > passed_ms
        if self._find(reaction.request_id) or digest_of(reaction.request_id) in self._closed:
            return False
        return passed_ms is None or reaction.log_time_ms + window_ms > passed_ms

    def _credit(self, reaction: Reaction, window_ms: int) -> Iterator[BanditUpdate]:
        showing = self._showing_of(reaction, window_ms)
        place = showing.place(reaction.item_id) if showing else None
        if showing is None or place is None:
            self._counts["reactions_unattributed"] += 1
            return
        previous = showing.rewards.get(place)
        if previous is None or reaction.reward > previous:
            showing.rewards[place] = reaction.reward
            yield self._reacted(showing, place, reaction, previous)

    def _showing_of(self, reaction: Reaction, window_ms: int) -> Showing | None:
        at_ms = reaction.log_time_ms
        if reaction.request_id is not None:
            showing = self._find(reaction.request_id)
        else:
            before = (one for one in reversed(self._open) if one.log_time_ms <= at_ms)
            showing = next((one for one in before if one.place(reaction.item_id) is not None), None)
        if showing and showing.log_time_ms - window_ms <= at_ms <= showing.closes_ms:
            return showing
        return None

    def _find(self, request_id: str) -> Showing | None:
        return next((one for one in self._open if one.request_id == request_id), None)

    def _reacted(
        self, showing: Showing, place: int, reaction: Reaction, previous: float | None
    ) -> BanditUpdate:
        return self._update(
            showing,
            place,
            update_id=f"{reaction.event_id}:{reaction.item_id}",
            reward=reaction.reward,
            previous_reward=previous,
            action=reaction.action,
            log_time_ms=reaction.log_time_ms,
        )

    def _unreacted(self, showing: Showing, place: int) -> BanditUpdate:
        return self._update(
            showing,
            place,
            update_id=f"{showing.request_id}:{showing.shown.item_ids[place]}",
            reward=UNREACTED_REWARD,
            previous_reward=None,
            action=None,
            log_time_ms=showing.closes_ms,
        )

    def _update(
        self,
        showing: Showing,
        place: int,
        *,
        update_id: str,
        reward: float,
        previous_reward: float | None,
        action: str | None,
        log_time_ms: int,
    ) -> BanditUpdate:
        shown = showing.shown
        return BanditUpdate(
            update_id=update_id,
            item_id=shown.item_ids[place],
            context_segment=shown.segment,
            reward=reward,
            context_features=shown.features,
            timestamp_ms=shown.timestamp_ms,
            user_id=self._user_id,
            request_id=showing.request_id,
            position=shown.positions[place],
            propensity=shown.propensities[place],
            action=action,
            previous_reward=previous_reward,
            explored=shown.explored[place],
            log_time_ms=log_time_ms,
        )

    def _chunks(self) -> Iterator[bytes]:
        sizes = (len(self._open), len(self._waiting), len(self._closed))
        yield _HEADER.pack(FORMAT_VERSION, *sizes)
        yield pack_text(self._user_id)
        yield ids_to_bytes(self._closed)
        for showing in self._open:
            yield from pack_showing(showing)
        for reaction in self._waiting:
            yield from pack_reaction(reaction)

    def _read(self, stored: bytes) -> None:
        if stored[0] != FORMAT_VERSION:
            raise ShowingsError(
                f"showings of format {stored[0]}; this version reads {FORMAT_VERSION}: "
                "run the release that wrote them, or a newer one"
            )
        reader = PackedReader(stored)
        _, showings, reactions, closed = reader.fields(_HEADER)
        self._user_id = reader.text() or ""
        self._closed = ids_from_bytes(reader.take(ID_BYTES * closed))
        self._open = [next_showing(reader) for _ in range(showings)]
        self._waiting = [next_reaction(reader) for _ in range(reactions)]
        reader.end()
