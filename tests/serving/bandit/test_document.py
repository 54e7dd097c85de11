import asyncio
import re
from pathlib import Path

from serving.rpc.server import listening
from tests.serving.bandit.calling import HOST, OPEN
from tests.serving.pretended import Outside

DOCUMENT = Path(__file__).parents[3] / "docs" / "bandit-calls.md"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
ADDRESS = "127.0.0.1:18082"


async def test_the_example_of_the_document_runs() -> None:
    (example,) = PYTHON.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert ADDRESS in example
    outside = Outside()
    bandit = outside.service().bandit
    async with listening(
        bandit, host=HOST, port=0, admission=OPEN, metrics=outside.metrics
    ) as port:
        here = example.replace(ADDRESS, f"{HOST}:{port}").replace("timeout=0.1", "timeout=5")
        await asyncio.to_thread(exec, here, {})
    (reward,) = outside.event_log.records()
    assert (reward.update_id, reward.reward) == ("order-31:sku:7", 1.0)
