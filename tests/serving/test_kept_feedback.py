import asyncio
from pathlib import Path

import pytest

from schemas.types import UserEvent
from serving.breaker import DependencyUnavailableError
from serving.errors import ApiError
from serving.kept_feedback import BATCH, KeptFeedback
from serving.metrics import Metrics
from serving.requests import FeedbackRequest
from settings import Settings
from stores.spool import Spool
from tests.serving.pretended import NOW_MS, Outside, PretendedLog, breaker, count_of


def event(number: int) -> UserEvent:
    return UserEvent(
        event_id=f"e{number}", user_id="u1", event_type="click", item_id="a", timestamp_ms=NOW_MS
    )


class Keeping:
    """Kept feedback over a spool in a file and a pretended log."""

    def __init__(self, file: Path) -> None:
        self.log, self.metrics = PretendedLog(), Metrics()
        self.spool = Spool(file, most=1_000)
        self.kept = KeptFeedback(
            self.spool,
            event_log=self.log,
            breaker=breaker("kafka", self.metrics),
            metrics=self.metrics,
            every_s=0.01,
            timeout_s=1.0,
        )

    def delivered(self) -> list[str]:
        return [one.event_id for one in self.log.records()]

    def counted(self, outcome: str) -> float:
        return count_of(self.metrics, "freshet_kept_feedback_total", outcome=outcome)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "feedback.sqlite"


async def test_what_is_kept_is_delivered_in_its_order_and_let_go(file: Path) -> None:
    keeping = Keeping(file)
    count = BATCH + 7
    await keeping.kept.keep([event(number) for number in range(count)])
    await keeping.kept.deliver()
    assert keeping.delivered() == [f"e{number}" for number in range(count)]
    assert len(keeping.spool) == 0
    assert (keeping.counted("kept"), keeping.counted("delivered")) == (count, count)
    assert count_of(keeping.metrics, "freshet_waiting_feedback") == 0


async def test_while_the_log_is_away_all_stays_kept(file: Path) -> None:
    keeping = Keeping(file)
    await keeping.kept.keep([event(1)])
    keeping.log.away = True
    with pytest.raises(DependencyUnavailableError):
        await keeping.kept.deliver()
    assert len(keeping.spool) == 1
    assert count_of(keeping.metrics, "freshet_waiting_feedback") == 1


async def test_what_an_earlier_process_kept_is_delivered_too(file: Path) -> None:
    await Keeping(file).kept.keep([event(1)])
    keeping = Keeping(file)
    running = asyncio.create_task(keeping.kept.run())
    async with asyncio.timeout(10):
        while len(keeping.spool):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    assert keeping.delivered() == ["e1"]


async def test_what_cannot_be_read_is_counted_and_holds_nothing_up(file: Path) -> None:
    keeping = Keeping(file)
    keeping.spool.keep([("u1", b"garbage")])
    await keeping.kept.keep([event(1)])
    await keeping.kept.deliver()
    assert keeping.delivered() == ["e1"]
    assert keeping.counted("unreadable") == 1


def click(user_id: str = "u1") -> FeedbackRequest:
    return FeedbackRequest.model_validate(
        {"user_id": user_id, "feedback": [{"item_id": "mug-0", "action": "click"}]}
    )


def outside_at(directory: Path, **serving: int) -> Outside:
    made = {"data_dir": directory, "serving": serving}
    return Outside(settings=Settings.model_validate(made))


async def test_feedback_is_accepted_while_the_log_is_away_and_comes_to_it(tmp_path: Path) -> None:
    outside = outside_at(tmp_path)
    outside.event_log.away = True
    service = outside.service()
    answer = await service.intake.accept(click(), idempotency_key=None)
    assert b'"status":"accepted"' in answer
    fallback = "feedback:kafka_unavailable"
    assert count_of(outside.metrics, "freshet_fallbacks_total", fallback=fallback) == 1
    outside.event_log.away = False
    assert service.kept is not None
    await service.kept.deliver()
    assert [one.item_id for one in outside.event_log.records()] == ["mug-0"]


async def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    outside = outside_at(tmp_path, kept_feedback=1)
    outside.event_log.away = True
    intake = outside.service().intake
    await intake.accept(click(), idempotency_key=None)
    with pytest.raises(ApiError, match="it can't be kept") as refused:
        await intake.accept(click("u2"), idempotency_key=None)
    assert refused.value.status_code == 503


async def test_where_nothing_is_to_be_kept_feedback_is_refused(tmp_path: Path) -> None:
    outside = outside_at(tmp_path, kept_feedback=0)
    outside.event_log.away = True
    with pytest.raises(ApiError, match="did not take the feedback"):
        await outside.service().intake.accept(click(), idempotency_key=None)
    assert outside.service().kept is None
