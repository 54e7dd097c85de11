"""The HTTP service, as its clients see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

CONNECTIONS = 64


class ServiceError(Exception):
    """The service did not answer as it should; the message says how, and what to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An item in a list."""

    item_id: str
    title: str
    category: str | None
    price: float | None
    score: float
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A list, and of what it was made. Version 0: nothing was known."""

    items: tuple[Shown, ...]
    user_version: int
    embedding_version: int
    cold_start: bool
    fallbacks: tuple[str, ...]
    request_id: str

    @property
    def ids(self) -> tuple[str, ...]:
        """The items in their order."""
        return tuple(item.item_id for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that a user does with an item."""

    action: str
    item_id: str


class Service:
    """Asks for lists and tells what users do. Use it with `async with`."""

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = address
        self._client = httpx.AsyncClient(
            base_url=address,
            timeout=timeout_s,
            transport=transport,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def personalize(self, user_id: str, *, count: int = 10, explain: bool = False) -> Answer:
        """Ask for a list without exploration, so that two answers differ by what is known alone."""
        body = await self._call(
            "POST",
            "/v1/personalize",
            {
                "user_id": user_id,
                "constraints": {"count": count},
                "options": {"exploration_rate": 0.0, "include_explanation": explain},
            },
        )
        return _answer(body)

    async def feedback(self, user_id: str, acts: Sequence[Act], *, request_id: str) -> int:
        """Tell what a user did with items; answers how many events were new."""
        entries = [{"item_id": act.item_id, "action": act.action} for act in acts]
        body = await self._call(
            "POST",
            "/v1/feedback",
            {"user_id": user_id, "request_id": request_id, "feedback": entries},
        )
        return int(body["processed"])

    async def catalog_size(self) -> int:
        """How many items the service knows."""
        return int((await self._call("GET", "/readyz", None))["catalogue_items"])

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            response = await self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"{self.address}{path}: no answer ({type(error).__name__}: {error}); "
                "is it up? `freshet stack status`"
            ) from error
        if response.status_code >= 400 and path != "/readyz":
            raise ServiceError(
                f"{self.address}{path}: answered {response.status_code}: {response.text[:500]}"
            )
        return response.json()


def _answer(body: Mapping[str, Any]) -> Answer:
    about = body["metadata"]
    return Answer(
        items=tuple(_shown(item) for item in body["items"]),
        user_version=about["versions"]["user"],
        embedding_version=about["versions"]["embedding"],
        cold_start=about["cold_start"],
        fallbacks=tuple(about["fallbacks"]),
        request_id=body["request_id"],
    )


def _shown(item: Mapping[str, Any]) -> Shown:
    about = item["metadata"]
    return Shown(
        item_id=item["item_id"],
        title=about["title"],
        category=about["category"],
        price=about["price"],
        score=item["score"],
        source=item["source"],
        reason=(item.get("explanation") or {}).get("primary_reason", ""),
    )
