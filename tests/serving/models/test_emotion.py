"""The emotion model as Triton serves it says what the job reads in its own process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from domain.emotion import LABELS, TextEmotion
from operators.text_emotion import TextClassifier
from serving.model_control import ModelServer
from stack.local import LocalStack

TEXTS = (
    "I love this blue mug!!",
    "this is the WORST thing I have ever bought, I hate it",
    "so sad that it broke :(",
    "ugh, disgusting smell",
    "",
    "   ",
    "😂😂",
    "delivery on Tuesday",
    "我很高兴",
    "I was afraid that it would not come. " * 40,
)


@pytest.fixture
async def client(triton: LocalStack) -> AsyncIterator[InferenceServerClient]:
    opened = InferenceServerClient(triton.settings.triton.address)
    yield opened
    await opened.close()


async def asked(client: InferenceServerClient, texts: Sequence[str | bytes]) -> Any:
    rows = InferInput("TEXT", [len(texts), 1], "BYTES")
    column = [one if isinstance(one, bytes) else one.encode() for one in texts]
    rows.set_data_from_numpy(np.array(column, np.object_).reshape(-1, 1))
    return await client.infer("emotion", [rows])


def as_served(answer: Any, row: int) -> TextEmotion | None:
    told = {
        name: answer.as_numpy(name)[row]
        for name in ("LABEL", "NAMED", "SHARES", "VAD", "CONFIDENCE")
    }
    label = told["LABEL"][0].decode()
    if not label:
        assert not any(told[name].any() for name in ("NAMED", "SHARES", "VAD", "CONFIDENCE"))
        return None
    valence, arousal, dominance = told["VAD"].tolist()
    return TextEmotion(
        label=label,
        named=tuple(name for name, is_named in zip(LABELS, told["NAMED"], strict=True) if is_named),
        shares=tuple(told["SHARES"].tolist()),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        confidence=float(told["CONFIDENCE"][0]),
    )


def assert_the_same(served: TextEmotion | None, read: TextEmotion | None) -> None:
    if served is None or read is None:
        assert served == read
        return
    assert (served.label, served.named) == (read.label, read.named)
    assert served.shares == pytest.approx(read.shares, abs=1e-6)
    numbers = ("valence", "arousal", "dominance", "confidence")
    assert [getattr(served, name) for name in numbers] == pytest.approx(
        [getattr(read, name) for name in numbers], abs=1e-6
    )


async def test_it_says_what_the_job_reads(client: InferenceServerClient) -> None:
    answer, read = await asked(client, TEXTS), TextClassifier()
    assert answer.get_response().model_version == "1"
    assert {as_served(answer, row) for row in range(len(TEXTS))} > {None}
    for row, text in enumerate(TEXTS):
        assert_the_same(as_served(answer, row), read(text))


async def test_what_queues_up_runs_together(
    client: InferenceServerClient, triton: LocalStack
) -> None:
    before = counted(triton)
    texts = [f"text {number} makes me happy" for number in range(200)]
    answers = await asyncio.gather(*(asked(client, [text]) for text in texts))
    read = TextClassifier()
    for answer, text in zip(answers, texts, strict=True):
        assert_the_same(as_served(answer, 0), read(text))
    requests, runs = counted(triton)
    assert requests - before[0] == len(texts)
    assert runs - before[1] < len(texts) / 2


def counted(triton: LocalStack) -> tuple[int, int]:
    with ModelServer(triton.settings.triton.address, timeout_s=5) as server:
        (version,) = server.versions()["emotion"]
    return version.requests, version.runs


async def test_what_is_no_text_is_refused_and_nothing_else(client: InferenceServerClient) -> None:
    one, other = await asyncio.gather(
        asked(client, [b"\xff\xfe"]), asked(client, ["I am happy"]), return_exceptions=True
    )
    assert isinstance(one, InferenceServerException)
    assert "send UTF-8" in str(one)
    assert not isinstance(other, BaseException)
    assert as_served(other, 0) is not None
