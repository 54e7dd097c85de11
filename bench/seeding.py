"""Fills the real stores with a made-up shop, through the writers' own code: no job, no Kafka."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from domain.fusion import lift
from schemas.collections import USER_DIM
from schemas.topics import HOUR_MS
from schemas.types import (
    Embedding,
    EmbeddingUpdate,
    Interaction,
    ItemEvent,
    ItemNeighbors,
    ItemPopularity,
    ItemSnapshot,
    UserSnapshot,
)
from settings import Settings
from stores.event_log import create_topics
from stores.neighbors import NeighborsWriter
from stores.online import OnlineWriter
from stores.redis_server import connect
from stores.vectors import VectorWriter, ensure_collections

CATEGORIES = ("mugs", "lamps", "bags", "cards", "clocks", "candles", "toys", "tins")
BATCH = 500
SPREAD = 0.8
BESIDE = 50

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shop:
    """Items around a centre a category, so that likeness means something."""

    items: Sequence[ItemSnapshot]
    popularity: Sequence[ItemPopularity]
    vectors: Floats

    def of_category(self, category: str) -> list[int]:
        """The places of a category's items."""
        return [
            place
            for place, item in enumerate(self.items)
            if item.catalog and item.catalog.category_id == category
        ]


def make_shop(count: int, *, seed: int = 7, now_ms: int) -> Shop:
    """The same shop for the same arguments."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((len(CATEGORIES), USER_DIM))
    vectors = centres[np.arange(count) % len(CATEGORIES)]
    vectors = vectors + SPREAD * chance.standard_normal((count, USER_DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    events = chance.zipf(1.6, count).clip(max=5_000)
    prices = np.exp(chance.normal(1.0, 0.8, count)).round(2)
    items = [_item(place, vectors[place], float(prices[place]), now_ms) for place in range(count)]
    popularity = [_popularity(place, int(events[place]), now_ms) for place in range(count)]
    return Shop(items=items, popularity=popularity, vectors=vectors)


def _id(place: int) -> str:
    return f"i{place:05d}"


def _popularity(place: int, events: int, now_ms: int) -> ItemPopularity:
    return ItemPopularity(
        item_id=_id(place),
        version=events,
        timestamp_ms=now_ms,
        log_time_ms=now_ms,
        popularity=float(events),
        popularity_at_ms=now_ms,
        trending=now_ms / (24 * HOUR_MS) + log2(events),
        total_events=events,
    )


def _item(place: int, vector: Floats, price: float, now_ms: int) -> ItemSnapshot:
    category = CATEGORIES[place % len(CATEGORIES)]
    item_id = _id(place)
    return ItemSnapshot(
        item_id=item_id,
        version=1,
        timestamp_ms=now_ms,
        log_time_ms=now_ms,
        catalog=ItemEvent(
            item_id=item_id,
            updated_at_ms=now_ms,
            created_at_ms=now_ms - place * HOUR_MS,
            title=f"{category.rstrip('s').title()} number {place}",
            category_id=category,
            price=price,
            image_url=f"https://example.org/{item_id}.jpg",
        ),
        vector=vector.tobytes(),
        unified=lift(vector).tobytes(),
        modalities=("text",),
    )


def make_users(shop: Shop, count: int, *, seed: int = 11, now_ms: int) -> list[UserSnapshot]:
    """Users with thirty interactions each, in a category of their own."""
    chance = np.random.default_rng(seed)
    snapshots = []
    for number in range(count):
        places = shop.of_category(CATEGORIES[number % len(CATEGORIES)])
        met = chance.choice(places, 30)
        snapshots += [
            _user(number, step, shop.items[int(place)].item_id, now_ms)
            for step, place in enumerate(met)
        ]
    return snapshots


def _user(number: int, step: int, item_id: str, now_ms: int) -> UserSnapshot:
    user_id = f"u{number:05d}"
    at_ms = now_ms - (30 - step) * 60_000
    return UserSnapshot(
        user_id=user_id,
        version=step + 1,
        timestamp_ms=at_ms,
        log_time_ms=at_ms,
        first_seen_ms=now_ms - HOUR_MS,
        total_interactions=step + 1,
        total_sessions=1,
        session_id=f"s-{user_id}",
        interaction=Interaction(
            event_id=f"{user_id}-{step}",
            event_type=("view", "click", "purchase")[step % 3],
            timestamp_ms=at_ms,
            item_id=item_id,
        ),
    )


def embeddings_of(shop: Shop, users: Sequence[UserSnapshot]) -> list[EmbeddingUpdate]:
    """A vector for each user: the mean of what they met."""
    place_of = {item.item_id: place for place, item in enumerate(shop.items)}
    met: dict[str, list[int]] = {}
    for user in users:
        met.setdefault(user.user_id, []).append(place_of[user.interaction.item_id or ""])
    return [_embedding(user_id, shop.vectors[places]) for user_id, places in met.items()]


def _embedding(user_id: str, vectors: Floats) -> EmbeddingUpdate:
    mean = vectors.mean(axis=0)
    vector = (mean / np.linalg.norm(mean)).astype(np.float32)
    return EmbeddingUpdate(
        user_id=user_id,
        timestamp_ms=0,
        embedding=Embedding(vector=vector.tobytes(), version=len(vectors)),
    )


def neighbors_of(shop: Shop, *, seed: int = 13, now_ms: int) -> list[ItemNeighbors]:
    """Some of its category beside each item."""
    chance = np.random.default_rng(seed)
    groups = [shop.of_category(category) for category in CATEGORIES]
    told = []
    for place, item in enumerate(shop.items):
        group = groups[place % len(groups)]
        beside = chance.choice(group, min(BESIDE, len(group)), replace=False)
        told.append(
            ItemNeighbors(
                item_id=item.item_id,
                version=1,
                timestamp_ms=now_ms,
                log_time_ms=now_ms,
                neighbors=tuple(_id(int(one)) for one in beside),
                scores=(0.9 / len(beside),) * len(beside),
            )
        )
    return told


def fill(settings: Settings, *, items: int, users: int) -> Shop:
    """Topics, collections, items and users, in the servers of these settings."""
    now_ms = time.time_ns() // 1_000_000
    shop = make_shop(items, now_ms=now_ms)
    snapshots = make_users(shop, users, now_ms=now_ms)
    kafka, token = settings.kafka, settings.milvus.token.get_secret_value()
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    ensure_collections(settings.milvus.uri, token=token)
    client = connect(settings.redis.url)
    online = OnlineWriter(client)
    with VectorWriter(settings.milvus.uri, token=token) as vectors:
        for start in range(0, items, BATCH):
            online.write_items(shop.items[start : start + BATCH])
            online.write_popularity(shop.popularity[start : start + BATCH])
            vectors.upsert_items(shop.items[start : start + BATCH])
    for start in range(0, len(snapshots), BATCH):
        online.write_users(snapshots[start : start + BATCH])
    online.write_embeddings(embeddings_of(shop, snapshots))
    beside = neighbors_of(shop, now_ms=now_ms)
    for start in range(0, items, BATCH):
        NeighborsWriter(online).write(beside[start : start + BATCH])
    client.close()
    return shop
