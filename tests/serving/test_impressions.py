import asyncio

from schemas.types import Impression
from serving.impressions import ImpressionLog
from serving.metrics import Metrics
from tests.serving.pretended import PretendedLog, count_of


def impression(number: int) -> Impression:
    return Impression(request_id=f"r{number}", user_id="u1", timestamp_ms=1)


def counted(metrics: Metrics, outcome: str) -> float:
    return count_of(metrics, "freshet_impressions_total", outcome=outcome)


async def test_what_is_handed_over_is_written_under_its_user() -> None:
    log, metrics = PretendedLog(), Metrics()
    impressions = ImpressionLog(log, metrics=metrics)
    running = asyncio.create_task(impressions.run())
    for number in range(20):
        impressions.put(impression(number))
    await impressions.drain(timeout_s=1)
    running.cancel()
    assert log.taken == [
        ("personalization-results", "u1", impression(number)) for number in range(20)
    ]
    assert counted(metrics, "logged") == 20
    assert count_of(metrics, "freshet_impression_queue") == 0


async def test_what_finds_the_queue_full_is_counted() -> None:
    metrics = Metrics()
    impressions = ImpressionLog(PretendedLog(), metrics=metrics, capacity=3)
    for number in range(5):
        impressions.put(impression(number))
    assert counted(metrics, "dropped") == 2
    assert count_of(metrics, "freshet_impression_queue") == 3


async def test_it_waits_for_a_log_that_is_away() -> None:
    log, metrics = PretendedLog(away=True), Metrics()
    impressions = ImpressionLog(log, metrics=metrics, retry_after_s=0.01)
    running = asyncio.create_task(impressions.run())
    impressions.put(impression(1))
    await asyncio.sleep(0.05)
    assert counted(metrics, "logged") == 0
    assert counted(metrics, "retried") > 0
    log.away = False
    await impressions.drain(timeout_s=1)
    running.cancel()
    assert log.records() == [impression(1)]


async def test_what_is_left_at_the_end_is_counted() -> None:
    metrics = Metrics()
    impressions = ImpressionLog(PretendedLog(away=True), metrics=metrics, retry_after_s=0.01)
    for number in range(3):
        impressions.put(impression(number))
    await impressions.drain(timeout_s=0.01)
    assert counted(metrics, "dropped") == 3


async def test_impressions_in_hand_at_the_end_are_counted_too() -> None:
    metrics = Metrics()
    impressions = ImpressionLog(PretendedLog(away=True), metrics=metrics, retry_after_s=0.01)
    running = asyncio.create_task(impressions.run())
    for number in range(3):
        impressions.put(impression(number))
    await impressions.drain(timeout_s=0.05)
    running.cancel()
    assert counted(metrics, "dropped") == 3
