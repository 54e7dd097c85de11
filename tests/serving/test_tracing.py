"""Traces as a collector gets them, over a real connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from structlog.testing import capture_logs

from schemas.topics import Topic
from schemas.types import Record
from serving import spans
from serving.app import create_app
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from serving.metrics import Metrics
from serving.rpc.server import SERVICE, listening
from serving.tracing import Tracer, tracer_of
from settings import Settings
from tests.serving.bandit.calling import HOST, OPEN
from tests.serving.collector import Collector, collecting
from tests.serving.pretended import Outside as Servers
from tests.serving.pretended import (
    PretendedLog,
    PretendedRanker,
    count_of,
    known_user,
)

USER, ITEM, SESSION = "ada.lovelace@example.org", "mug-0", "a-visit-of-hers"
LIST = {"user_id": USER, "session_id": SESSION}
DEED = {"user_id": USER, "feedback": [{"item_id": ITEM, "action": "click"}]}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ("admit", "context", "candidates", "rank", "explore", "rerank", "answer")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def settings_of(collector: Collector, **tracing: Any) -> Settings:
    asked = {"endpoint": collector.url, "sample": 1.0, **tracing}
    return Settings.model_validate({"serving": {"kept_feedback": 0}, "tracing": asked})


@asynccontextmanager
async def traced(
    settings: Settings, outside: Servers | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """The interface; when it closes, all spans are sent."""
    outside = outside or Servers()
    outside.online.users.setdefault(USER, known_user(user_id=USER))
    app = create_app(settings)
    outside.metrics, outside.settings = app.state.metrics, settings
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            yield client
        finally:
            tracer = app.state.tracer
            if tracer:
                await asyncio.to_thread(tracer.close)
            spans.follow(None)


async def test_a_request_has_a_span_with_its_stages_and_calls_inside(collector: Collector) -> None:
    async with traced(settings_of(collector)) as client:
        answer = await client.post("/v1/personalize", json=LIST)
    assert collector.paths == ["/v1/traces"]
    root = collector.named("POST /v1/personalize")
    assert root["told"] == {
        "http.request.method": "POST",
        "http.route": "/v1/personalize",
        "http.response.status_code": 200,
        "freshet.request_id": answer.headers["x-request-id"],
    }
    assert "parentSpanId" not in root
    by_id = {span["spanId"]: span for span in collector.spans}
    for stage in STAGES:
        span = collector.named(stage)
        assert (span["parentSpanId"], span["traceId"]) == (root["spanId"], root["traceId"])
    calls = [span for span in collector.spans if "peer.service" in span["told"]]
    made = {(one["name"], by_id[one["parentSpanId"]]["name"]) for one in calls}
    assert made >= {("redis", "context"), ("milvus", "candidates"), ("triton", "rank")}
    assert {stage for _, stage in made} <= set(STAGES)
    assert {one["told"]["freshet.outcome"] for one in calls} == {"ok"}
    assert collector.named("candidates")["told"]["freshet.candidates"] == 6
    for span in collector.spans:
        parent = by_id.get(span.get("parentSpanId", ""), root)
        assert int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
        assert int(span["endTimeUnixNano"]) <= int(parent["endTimeUnixNano"]) + 1_000


async def test_no_span_names_a_user_or_what_they_did(collector: Collector) -> None:
    async with traced(settings_of(collector)) as client:
        await client.post("/v1/personalize", json=LIST)
        await client.post("/v1/feedback", json=DEED)
        await client.post("/v1/similar", json={"user_id": USER, "item_id": ITEM})
        await client.get(f"/v1/debug/users/{USER}")
        await client.get(f"/{USER}?q={USER}")
    routes = {span["name"] for span in collector.spans}
    assert {"GET /v1/debug/users/{user_id:any_id}", "GET other"} <= routes
    for planted in (USER, ITEM, SESSION):
        assert planted not in collector.text


async def test_a_call_that_fails_is_marked_and_names_the_fallback(collector: Collector) -> None:
    outside = Servers(ranker=PretendedRanker(away=True))
    async with traced(settings_of(collector), outside) as client:
        await client.post("/v1/personalize", json=LIST)
    triton, root = collector.named("triton"), collector.named("POST /v1/personalize")
    assert (triton["told"]["freshet.outcome"], triton["status"]["code"]) == ("error", 2)
    assert root["told"]["freshet.fallbacks"]["values"] == [
        {"stringValue": "rank:triton_unavailable"}
    ]
    assert root["status"].get("code", 0) == 0


async def test_a_fault_is_marked(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError(USER)

    monkeypatch.setattr("serving.pipeline.admit", broken)
    async with traced(settings_of(collector)) as client:
        await client.post("/v1/personalize", json=LIST)
    root = collector.named("POST /v1/personalize")
    assert (root["told"]["http.response.status_code"], root["status"]["code"]) == (500, 2)
    assert collector.named("admit")
    assert USER not in collector.text


async def test_the_trace_of_the_caller_goes_on(collector: Collector) -> None:
    async with traced(settings_of(collector, sample=0)) as client:
        await client.post(
            "/v1/personalize", json=LIST, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}
        )
    root = collector.named("POST /v1/personalize")
    assert (root["traceId"], root["parentSpanId"]) == (TRACE, SPAN)
    assert {span["traceId"] for span in collector.spans} == {TRACE}


@pytest.mark.parametrize(
    ("sample", "follow_callers", "sent", "traces"),
    [
        (0, True, None, 0),
        (1, True, None, 1),
        (1, True, f"00-{TRACE}-{SPAN}-00", 0),
        (0, True, f"00-{TRACE}-{SPAN}-01", 1),
        (0, False, f"00-{TRACE}-{SPAN}-01", 0),
        (1, False, f"00-{TRACE}-{SPAN}-00", 1),
        (0, True, "no-traceparent", 0),
        (1, True, "no-traceparent", 1),
    ],
)
async def test_who_decides_whether_a_request_is_traced(
    collector: Collector,
    *,
    sample: float,
    follow_callers: bool,
    sent: str | None,
    traces: int,
) -> None:
    settings = settings_of(collector, sample=sample, follow_callers=follow_callers)
    headers = {"traceparent": sent} if sent else {}
    async with traced(settings) as client:
        await client.post("/v1/personalize", json=LIST, headers=headers)
    roots = [span for span in collector.spans if span["name"] == "POST /v1/personalize"]
    assert len(roots) == traces


async def test_about_the_share_is_traced(collector: Collector) -> None:
    tracer = tracer_of(settings_of(collector, sample=0.25).tracing, Metrics())
    assert tracer is not None
    followed = sum(tracer.begin({}) is not None for _ in range(4_000))
    tracer.close()
    assert 850 < followed < 1_150


async def test_machines_that_look_every_few_seconds_are_not_traced(collector: Collector) -> None:
    async with traced(settings_of(collector)) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 200
    assert collector.sent == []


async def test_without_an_endpoint_nobody_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.spans.Call", None)
    async with traced(Settings()) as client:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        answer = await client.post("/v1/personalize", json=LIST, headers=headers)
        assert answer.json()["metadata"]["fallbacks"] == []
        assert 'freshet_spans_total{outcome="' not in (await client.get("/metrics")).text


class Noting(PretendedRanker):
    """Notes what it would be told of the trace."""

    headers: dict[str, str]

    async def rank(self, features: Any) -> Any:
        self.headers = spans.outgoing()
        return await super().rank(features)


class NotingLog(PretendedLog):
    """The same of a record."""

    headers: Sequence[tuple[str, bytes]] = ()

    async def append(self, topic: Topic, key: str, record: Record) -> None:
        self.headers = spans.record_headers()
        await super().append(topic, key, record)


async def test_dependencies_are_told_whom_they_work_for(collector: Collector) -> None:
    outside = Servers(ranker=Noting(), event_log=NotingLog())
    async with traced(settings_of(collector), outside) as client:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "theirs=1"}
        await client.post("/v1/personalize", json=LIST, headers=headers)
        await client.post("/v1/feedback", json=DEED, headers=headers)
    triton, kafka = collector.named("triton"), collector.named("kafka")
    assert outside.ranker.headers == {  # type: ignore[attr-defined]
        "traceparent": f"00-{TRACE}-{triton['spanId']}-01",
        "tracestate": "theirs=1",
    }
    assert outside.event_log.headers == [  # type: ignore[attr-defined]
        ("traceparent", f"00-{TRACE}-{kafka['spanId']}-01".encode()),
        ("tracestate", b"theirs=1"),
    ]
    assert kafka["kind"] == 4


async def test_dependencies_hear_that_the_caller_wants_no_trace(collector: Collector) -> None:
    outside = Servers(ranker=Noting())
    async with traced(settings_of(collector), outside) as client:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
        await client.post("/v1/personalize", json=LIST, headers=headers)
    told = outside.ranker.headers["traceparent"]  # type: ignore[attr-defined]
    assert told.startswith(f"00-{TRACE}-")
    assert told.endswith("-00")
    assert collector.sent == []


async def test_nothing_is_told_of_requests_that_nobody_follows() -> None:
    outside = Servers(ranker=Noting())
    async with traced(Settings(), outside) as client:
        await client.post("/v1/personalize", json=LIST)
    assert outside.ranker.headers == {}  # type: ignore[attr-defined]


async def test_calls_of_the_bandit_are_traced_too(collector: Collector) -> None:
    outside = Servers()
    tracer = tracer_of(settings_of(collector, sample=0).tracing, outside.metrics)
    assert tracer is not None
    bandit, metadata = outside.service().bandit, (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
    serving = listening(
        bandit, host=HOST, port=0, admission=OPEN, metrics=outside.metrics, tracer=tracer
    )
    async with serving as port, grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub: Any = BanditServiceStub(channel)
        asked = pb.SampleRequest(item_ids=[ITEM], context_segment="mobile_us_evening")
        call = stub.Sample(asked, metadata=metadata)
        await call
        trailing = dict(tuple(await call.trailing_metadata()))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Sample(pb.SampleRequest(), metadata=metadata)
    await asyncio.to_thread(tracer.close)
    good, refused = [one for one in collector.spans if one["name"] == f"{SERVICE}/Sample"]
    assert (good["traceId"], good["parentSpanId"]) == (TRACE, SPAN)
    assert good["told"]["freshet.request_id"] == trailing["x-request-id"]
    assert (good["told"]["rpc.grpc.status_code"], refused["told"]["rpc.grpc.status_code"]) == (0, 3)
    assert collector.named("redis")["parentSpanId"] == good["spanId"]
    assert ITEM not in collector.text


class Slow(SpanExporter):
    """Sends nothing before it is told to."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.result = result

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result

    def shutdown(self) -> None:
        """Nothing."""


def finished(tracer: Tracer, times: int) -> None:
    for _ in range(times):
        followed = tracer.begin({})
        assert followed is not None
        tracer.finish(followed, name="GET /", attributes={}, failed=False)


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    metrics = Metrics()
    tracer = Tracer(Slow(), sampler=ALWAYS_ON, metrics=metrics, capacity=3)
    # The thread that sends wakes at a full batch, which this is.
    followed = tracer.begin({})
    assert followed is not None
    followed.calls.extend(spans.Call("redis", 0.0) for _ in range(3))
    tracer.finish(followed, name="GET /", attributes={}, failed=False)
    assert count_of(metrics, "freshet_spans_total", outcome="dropped") == 4
    finished(tracer, 1)
    tracer.close()
    assert count_of(metrics, "freshet_spans_total", outcome="sent") == 1


def test_a_collector_that_refuses_is_told_of_once_and_so_is_its_return() -> None:
    metrics, exporter = Metrics(), Slow(SpanExportResult.FAILURE)
    tracer = Tracer(exporter, sampler=ALWAYS_ON, metrics=metrics)
    with capture_logs() as logged:
        for result in (
            SpanExportResult.FAILURE,
            SpanExportResult.FAILURE,
            SpanExportResult.SUCCESS,
        ):
            exporter.result = result
            finished(tracer, 1)
            tracer.flush()
    tracer.close()
    assert [one["event"] for one in logged] == [
        "traces can't be sent and are lost; is tracing.endpoint right, and up?",
        "traces are sent again",
    ]
    assert count_of(metrics, "freshet_spans_total", outcome="failed") == 2
    assert count_of(metrics, "freshet_spans_total", outcome="sent") == 1


def test_nobody_waits_long_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.tracing.CLOSE_WITHIN_S", 0.2)
    with collecting() as collector:
        collector.status = 503
        metrics = Metrics()
        tracer = tracer_of(settings_of(collector).tracing, metrics)
        assert tracer is not None
        finished(tracer, 2)
        began = time.monotonic()
        tracer.close()
        assert time.monotonic() - began < 2
    assert count_of(metrics, "freshet_spans_total", outcome="failed") == 2


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_the_endpoint_may_be_the_collector_or_the_whole_path(
    collector: Collector, path: str
) -> None:
    asked = replace_endpoint(settings_of(collector), collector.url + path)
    tracer = tracer_of(asked.tracing, Metrics())
    assert tracer is not None
    finished(tracer, 1)
    tracer.close()
    assert collector.paths == ["/v1/traces"]


def replace_endpoint(settings: Settings, endpoint: str) -> Settings:
    tracing = settings.tracing.model_copy(update={"endpoint": endpoint})
    return settings.model_copy(update={"tracing": tracing})
