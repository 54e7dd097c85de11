"""Has a language model write why items are shown: few requests, bounded waits, checked texts.

The model never decides anything: which items are shown, and where, stands before it is asked.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from cachetools import TTLCache

from domain.reason_facts import ItemFacts, SituationFacts, numbers_told, told_item, told_list
from domain.reason_share import Allowance
from serving.breaker import Breaker, DependencyUnavailableError
from serving.chat import Message, Said
from serving.metrics import Metrics
from serving.reason_prompt import (
    TOKENS_OF_EXPLANATION,
    TOKENS_OF_REASON,
    Style,
    about_item,
    about_list,
)
from serving.reason_reply import Text, read_explanation, read_reasons
from settings.model import ReasonerSettings

TEXTS = 50_000
# What the model wrote nothing usable about isn't asked for again for so long.
REFUSED_S = 300.0

UNAVAILABLE, BUSY, SLOW, REFUSED = "unavailable", "busy", "slow", "refused"
SHARE_SPENT = "share_spent"

# A call as it runs beside the requests; its result is what it lacks, None for nothing.
Call = asyncio.Task[str | None]
Key = TypeVar("Key", bound=Hashable)
log = structlog.get_logger(__name__)


class Chat(Protocol):
    """A language model."""

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Said:
        """What it answers."""


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """Texts for some of a list's items, and what kept others from having one."""

    texts: Mapping[ItemFacts, str] = field(default_factory=dict)
    lacking: str | None = None


class Reasoner:
    """Asks the model through a breaker, within an allowance, and remembers what it wrote.

    A text follows from its facts, not from a user, so it is there for all whose facts are the same.
    Each call runs beside the requests: a request may wait for it for a while, and a text that comes
    too late is there the next time. While the model is slower than that, nobody waits.
    """

    def __init__(
        self,
        chat: Chat,
        settings: ReasonerSettings,
        *,
        breaker: Breaker,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s = settings.timeout_ms / 1000
        self._chat = chat
        self._breaker = breaker
        self._metrics = metrics
        self._clock = clock
        self._finish_s = settings.finish_ms / 1000
        self._most_concurrent = settings.most_concurrent
        self._allowance = Allowance(settings.most_share)
        self._texts: TTLCache[Hashable, Any] = TTLCache(TEXTS, settings.cache_s, timer=clock)
        self._refused: TTLCache[Hashable, bool] = TTLCache(TEXTS, REFUSED_S, timer=clock)
        self._under_way: dict[Hashable, Call] = {}
        self._calls: set[Call] = set()
        # How long the last call of each kind took.
        self._took_s: dict[str, float] = {}

    async def run(self) -> None:
        """Let calls run until this ends, then end them."""
        try:
            await asyncio.Event().wait()
        finally:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    def earn(self) -> None:
        """One more request came; some of them may ask."""
        self._allowance = self._allowance.earned()

    def remembered(self, items: Iterable[ItemFacts], situation: SituationFacts) -> Reasons:
        """The texts that are there already."""
        found = {item: self._texts.get((situation, item)) for item in items}
        return Reasons(texts={item: text for item, text in found.items() if text is not None})

    async def reasons(
        self, items: Sequence[ItemFacts], situation: SituationFacts, *, wait_s: float
    ) -> Reasons:
        """Texts for the items; the model is asked for those that aren't there, and waited for."""
        lacking = self._ask_for(items, situation, asked=True)
        awaited = {
            call for item in items if (call := self._under_way.get((situation, item))) is not None
        }
        lacking = await self._waited("list", awaited, wait_s) or lacking
        return Reasons(texts=self.remembered(items, situation).texts, lacking=lacking)

    def prepare(self, items: Sequence[ItemFacts], situation: SituationFacts) -> None:
        """Have texts written for the next who are shown the items; nobody waits."""
        self._ask_for(items, situation, asked=False)

    async def explanation(
        self, facts: Mapping[str, Any], style: Style, timeout_s: float
    ) -> Text | None:
        """An explanation of one item from its facts; None where the model gives none in time."""
        self.earn()
        told = told_item(facts)
        if told is None:
            self._metrics.reasoner_left_out.labels("untellable").inc()
            return None
        key = (style, json.dumps(told, sort_keys=True))
        if self._lacking([key]):
            self._metrics.reasoner_selected.labels("explanation").inc()
            self._begin([key], partial(self._explain, key, told, style), asked=True)
        awaited = {call for call in [self._under_way.get(key)] if call is not None}
        await self._waited("item", awaited, timeout_s)
        text: Text | None = self._texts.get(key)
        return text

    def _ask_for(
        self, items: Sequence[ItemFacts], situation: SituationFacts, *, asked: bool
    ) -> str | None:
        """Begin a call for what isn't there and isn't under way, or say why not."""
        keys = {(situation, item): item for item in items}
        lacking = self._lacking(keys)
        if not lacking:
            return None
        new = [keys[key] for key in lacking]
        return self._begin(lacking, partial(self._write, new, situation), asked=asked)

    def _lacking(self, keys: Collection[Key]) -> list[Key]:
        """Those of which nothing is known, and about which the model isn't being asked."""
        misses = [key for key in keys if key not in self._texts]
        self._metrics.cache.labels("reason", "hit").inc(len(keys) - len(misses))
        self._metrics.cache.labels("reason", "miss").inc(len(misses))
        return [key for key in misses if key not in self._refused and key not in self._under_way]

    def obstacle(self, *, asked: bool) -> str | None:
        """Why no call could be begun now; counted, since the request goes without one."""
        found = self._obstacle(asked=asked)
        if found:
            self._metrics.reasoner_left_out.labels(found).inc()
        return found

    def _begin(
        self, keys: Sequence[Hashable], work: Callable[[], Awaitable[str | None]], *, asked: bool
    ) -> str | None:
        obstacle = self.obstacle(asked=asked)
        if obstacle:
            return obstacle
        self._allowance = self._allowance.spent(asked=asked) or self._allowance
        call = asyncio.create_task(self._guarded(work))
        self._calls.add(call)
        self._under_way.update(dict.fromkeys(keys, call))
        call.add_done_callback(partial(self._ended, keys))
        return None

    def _obstacle(self, *, asked: bool) -> str | None:
        if self._breaker.is_open:
            return UNAVAILABLE
        if len(self._calls) >= self._most_concurrent:
            return BUSY
        return SHARE_SPENT if self._allowance.spent(asked=asked) is None else None

    async def _guarded(self, work: Callable[[], Awaitable[str | None]]) -> str | None:
        try:
            return await work()
        except DependencyUnavailableError:
            return UNAVAILABLE

    def _ended(self, keys: Sequence[Hashable], call: Call) -> None:
        self._calls.discard(call)
        for key in keys:
            del self._under_way[key]
        fault = None if call.cancelled() else call.exception()
        if fault:
            log.error("a reason couldn't be written: a fault of the service", exc_info=fault)

    async def _waited(self, kind: str, calls: set[Call], wait_s: float) -> str | None:
        """Wait for calls, and say what is lacking after that."""
        if not calls:
            return None
        if self._took_s.get(kind, 0.0) > wait_s:
            return SLOW
        done, late = await asyncio.wait(calls, timeout=wait_s)
        lacking = [call.result() for call in done]
        return SLOW if late else next((one for one in lacking if one), None)

    async def _write(self, items: Sequence[ItemFacts], situation: SituationFacts) -> str | None:
        messages = about_list(told_list(items, situation))
        said = await self._said("list", messages, most_tokens=TOKENS_OF_REASON * (1 + len(items)))
        read = read_reasons(said.text, items)
        self._refuse(read.refused)
        for item in items:
            self._keep((situation, item), read.texts.get(item))
        return None if read.texts else REFUSED

    async def _explain(self, key: Hashable, told: Mapping[str, Any], style: Style) -> str | None:
        messages = about_item(told, style)
        said = await self._said("item", messages, most_tokens=TOKENS_OF_EXPLANATION)
        read = read_explanation(said.text, numbers=numbers_told(told))
        self._keep(key, read if isinstance(read, Text) else None)
        if isinstance(read, Text):
            return None
        self._refuse([read])
        return REFUSED

    async def _said(self, kind: str, messages: Sequence[Message], *, most_tokens: int) -> Said:
        self._metrics.reasoner_asked.inc()
        started = self._clock()
        try:
            said = await self._breaker.call(
                lambda: self._chat.ask(messages, most_tokens=most_tokens), timeout_s=self._finish_s
            )
        finally:
            self._took_s[kind] = self._clock() - started
        self._metrics.reasoner_answered.inc()
        self._metrics.reasoner_tokens.labels("prompt").inc(said.prompt_tokens)
        self._metrics.reasoner_tokens.labels("completion").inc(said.completion_tokens)
        return said

    def _keep(self, key: Hashable, text: str | Text | None) -> None:
        if text is None:
            self._refused[key] = True
        else:
            self._texts[key] = text
            self._metrics.reasoner_texts.inc()

    def _refuse(self, names: Iterable[str]) -> None:
        for name in names:
            self._metrics.reasoner_refused.labels(name).inc()
