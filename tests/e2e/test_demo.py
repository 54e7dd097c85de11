"""The demo on the real stack, and what stays when it is over."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.catalog import catalog_of
from demo.purchases import read_purchases
from stack.local import LocalStack
from tests.e2e.streams import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DEMO_S = 800


def demo(stack: LocalStack) -> dict[str, Any]:
    done = stack.freshet("demo", "--json", check=False, timeout_s=DEMO_S)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def shown(stack: LocalStack) -> dict[str, Any]:
    """What the first run of the demo says of itself."""
    return demo(stack)


@pytest.fixture
def client(stack: LocalStack, shown: dict[str, Any]) -> httpx.Client:
    serving = stack.settings.serving
    return httpx.Client(base_url=f"http://{serving.host}:{serving.port}", timeout=30)


def test_the_show_ends_with_another_list_that_is_about_the_events(shown: dict[str, Any]) -> None:
    category = {item.item_id: item.category for item in catalog_of(read_purchases())}
    theme = shown["theme"]

    assert shown["events"] == 8
    assert shown["before"] != shown["after"]
    assert all(category[item] != theme for item in shown["before"])
    assert sum(category[item] == theme for item in shown["after"]) == shown["of_theme"]["after"] > 0
    assert 0 < shown["changed_ms"] <= shown["complete_ms"]


def test_the_whole_catalogue_is_still_served(client: httpx.Client) -> None:
    """Events move an item's popularity and leave the rest of it as it was."""
    with client:
        assert client.get("/readyz").json()["catalogue_items"] >= 1_000


def test_a_second_run_uses_what_is_there_and_shows_another_theme(
    stack: LocalStack, shown: dict[str, Any]
) -> None:
    again = demo(stack)

    assert again["user_id"] == shown["user_id"]
    assert again["theme"] != shown["theme"]
    assert again["before"] != again["after"]
    assert again["took_s"]["history"] < shown["took_s"]["history"]
    assert again["took_s"]["catalogue"] < shown["took_s"]["catalogue"]


def test_the_addresses_that_it_prints_answer(shown: dict[str, Any]) -> None:
    for address in shown["addresses"].values():
        assert httpx.get(address, timeout=30).status_code == 200


def test_a_replay_as_a_live_stream_is_counted(
    stack: LocalStack, shown: dict[str, Any], client: httpx.Client
) -> None:
    first = read_purchases()[0].user_id

    def version() -> int:
        asked = {"user_id": first, "constraints": {"count": 1}}
        answer = client.post("/v1/personalize", json=asked).json()
        return int(answer["metadata"]["versions"]["user"])

    with client:
        before = version()
        done = stack.freshet(
            "replay", "--users", "1", "--limit", "5", "--speed", "1e9", "--run", "test-live"
        )
        assert done.stdout == "5 events are in the log\n"
        eventually(version, before + 5)


def test_a_catalogue_of_ones_own_is_served(
    stack: LocalStack, shown: dict[str, Any], client: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text(
        "item_id,title,price,category\n"
        "own-1,GOLDEN TEST LANTERN,7.5,test-lanterns\n"
        "own-2,,1,test-lanterns\n"
    )
    done = stack.freshet("catalog", "load", str(tmp_path / "own.csv"), check=False)
    assert done.returncode == 1
    assert "line 3: title is empty" in done.stderr

    def found() -> list[str]:
        asked = {
            "user_id": shown["user_id"],
            "constraints": {"count": 5, "categories": ["test-lanterns"]},
        }
        answer = client.post("/v1/personalize", json=asked).json()
        return [item["metadata"]["title"] for item in answer["items"]]

    with client:
        eventually(found, ["GOLDEN TEST LANTERN"])
