"""The HTTP interface."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Path, Request, Response, Security
from fastapi.security import HTTPBearer
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel

from domain.experiment_header import EXPERIMENT_HEADER, header_text
from schemas.collections import ID_MAX_LENGTH
from schemas.types import Impression
from serving import errors, recommendations
from serving.access import GuardedRoute, check_reach
from serving.admission import admission_of
from serving.answers import (
    ErrorAnswer,
    FeedbackAnswer,
    HealthAnswer,
    KnownUserAnswer,
    PersonalizeAnswer,
    ReadyAnswer,
)
from serving.any_id import USER_ID
from serving.batches import Batch, BatchAnswer, BatchRequest
from serving.deadline import Deadline
from serving.described import Described
from serving.errors import ApiError, unavailable
from serving.experiment_answers import ExperimentAnswer
from serving.explain.answers import ExplainAnswer
from serving.explain.requests import ExplainRequest
from serving.feedback import Tell
from serving.feedback_bodies import FeedbackBody
from serving.gate import Gate
from serving.interaction_answers import InteractionsAnswer, NegativeFeedbackAnswer
from serving.interaction_requests import InteractionsRequest, NegativeFeedbackRequest
from serving.interactions import (
    interactions_answer,
    negative_answer,
    told_by_interactions,
    told_by_negative,
)
from serving.metrics import Metrics
from serving.pipeline import Body
from serving.quick import QuickPosts, quick_routes
from serving.recommendation_answers import RecommendationAnswer, SimilarAnswer
from serving.recommendation_requests import RecommendationRequest, SimilarRequest
from serving.request_scope import current_request_id
from serving.requests import PersonalizeRequest
from serving.running import running
from serving.service import Service, wall_clock_ms
from serving.stages import answer
from serving.tracing import closed_at_last, tracer_of
from settings import Settings
from stores.errors import StoreError
from stores.lake.errors import LakeError

JSON = "application/json"
DESCRIPTION = """
Lists for users that react within a fraction of a second to what they do.

Every error has one shape: what was wrong, the value seen, what to do next. A server that is away
is no error: the answer names what was done without it under `metadata.fallbacks`. A user of whom
nothing is known gets popular, trending and new items (`metadata.cold_start`).
"""
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request can't be read or has a wrong value"},
    401: {"model": ErrorAnswer, "description": "No key or token that is taken here"},
    403: {"model": ErrorAnswer, "description": "The key or token doesn't reach so far"},
    408: {"model": ErrorAnswer, "description": "The body does not come"},
    413: {"model": ErrorAnswer, "description": "The body is too large"},
    415: {"model": ErrorAnswer, "description": "The body is not JSON"},
    429: {"model": ErrorAnswer, "description": "Too many requests a second; see Retry-After"},
    500: {"model": ErrorAnswer, "description": "A fault of the service"},
    503: {"model": ErrorAnswer, "description": "Can't be done now; see Retry-After"},
}
REFUSALS_ONCE = {
    **REFUSALS,
    409: {"model": ErrorAnswer, "description": "The Idempotency-Key had another body"},
}
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=256,
        description="The same key repeats a request for 24 h: the first answer comes again",
    ),
]
BODIES: dict[str, type[BaseModel]] = {
    "/v1/personalize": PersonalizeRequest,
    "/v1/personalize/batch": BatchRequest,
    "/v1/feedback": FeedbackBody,
    "/v1/recommendations": RecommendationRequest,
    "/v1/similar": SimilarRequest,
    "/v1/explain": ExplainRequest,
    "/v1/feedback/negative": NegativeFeedbackRequest,
    "/interactions": InteractionsRequest,
}
EXPERIMENT = "/v1/experiments/{experiment_id}"
DEBUG_USER = f"/v1/debug/users/{USER_ID}"
BEARER = HTTPBearer(
    auto_error=False,
    description="A key of `freshet key create`, a user's token, or the setting serving.admin_token",
)
# It only tells OpenAPI; serving.access has asked by then.
SECURED = [Security(BEARER)]
# The framework's own spans and records have paths, and so users, and what exceptions say.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
PATHS = (*BODIES, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")


def create_app(settings: Settings) -> FastAPI:
    """The application; its connections open with its lifespan."""
    metrics, admission = Metrics(), admission_of(settings)
    tracer = tracer_of(settings.tracing, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with (
            closed_at_last(tracer),
            running(settings, metrics, admission, tracer=tracer) as service,
        ):
            app.state.service = service
            yield

    app = Described(
        title="freshet",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
    )
    app.state.metrics = metrics
    app.state.tracer = tracer
    app.state.admission = admission
    app.router.route_class = GuardedRoute
    errors.install(app, metrics, BODIES)
    _add_routes(app)
    app.add_middleware(QuickPosts, routes=quick_routes(app, BODIES))
    app.add_middleware(
        Gate,
        metrics=metrics,
        paths=PATHS,
        bodies=BODIES,
        tracer=tracer,
        access_log=settings.serving.access_log,
    )
    return app


def _add_routes(app: FastAPI) -> None:
    app.post(
        "/v1/personalize",
        response_model=PersonalizeAnswer,
        responses=REFUSALS,
        dependencies=SECURED,
        summary="A list for a user",
    )(personalize)
    app.post(
        "/v1/personalize/batch",
        response_model=BatchAnswer,
        responses={status: said for status, said in REFUSALS.items() if status != 429},
        dependencies=SECURED,
        summary="Several lists at once",
    )(personalize_batch)
    app.post(
        "/v1/feedback",
        status_code=202,
        response_model=FeedbackAnswer | InteractionsAnswer,
        responses=REFUSALS_ONCE,
        dependencies=SECURED,
        summary="What a user did",
    )(feedback)
    app.post(
        "/v1/feedback/negative",
        status_code=202,
        response_model=NegativeFeedbackAnswer,
        responses=REFUSALS_ONCE,
        dependencies=SECURED,
        summary="What a user doesn't want to see",
    )(negative_feedback)
    app.post(
        "/interactions",
        status_code=202,
        response_model=InteractionsAnswer,
        responses=REFUSALS_ONCE,
        dependencies=SECURED,
        summary="One interaction of a user, or several",
    )(interact)
    app.post(
        "/v1/recommendations",
        response_model=RecommendationAnswer,
        responses=REFUSALS,
        dependencies=SECURED,
        summary="Recommendations for a user",
    )(recommend)
    app.post(
        "/v1/similar",
        response_model=SimilarAnswer,
        responses={**REFUSALS, 404: {"model": ErrorAnswer, "description": "No such item"}},
        dependencies=SECURED,
        summary="What is like an item",
    )(similar)
    app.post(
        "/v1/explain",
        response_model=ExplainAnswer,
        responses={**REFUSALS, 404: {"model": ErrorAnswer, "description": "Nothing to explain"}},
        dependencies=SECURED,
        summary="Why an item is shown to a user",
    )(explain)
    app.get(
        DEBUG_USER,
        response_model=KnownUserAnswer,
        responses={
            **{status: REFUSALS[status] for status in (400, 401, 403, 500, 503)},
        },
        dependencies=SECURED,
        summary="What is known of a user",
    )(known_user)
    app.get(
        EXPERIMENT,
        response_model=ExperimentAnswer,
        responses={
            **{status: REFUSALS[status] for status in (400, 401, 403, 500, 503)},
            404: {"model": ErrorAnswer, "description": "No such experiment"},
        },
        dependencies=SECURED,
        summary="What an experiment shows so far",
    )(experiment)
    app.get("/healthz", response_model=HealthAnswer, summary="The process is alive")(healthz)
    app.get(
        "/readyz",
        response_model=ReadyAnswer,
        responses={503: {"model": ReadyAnswer, "description": "No item is known yet"}},
        summary="Which dependencies are up",
    )(readyz)
    app.get("/metrics", response_class=Response, summary="For Prometheus")(metrics_page)


async def personalize(body: PersonalizeRequest, request: Request) -> Response:
    """Choose items for a user.

    Items that the user bought before are not left out unless `exclude_items` names them.
    `items` is in the order of the list; `score` is the ranker's, between 0 and 1, and need not
    fall, since variety and exploration have a say in the order.
    """
    return await _listed(request, body.user_id, lambda: body, shape=answer.body)


async def personalize_batch(body: BatchRequest, request: Request) -> Response:
    """Choose items for several requests at once; the answers come in the order of the requests.

    Each is answered or refused by itself, with the `status` that it would have had alone, and each
    counts against its user's limit. They have the time of one request together.
    """
    service = _service(request)
    batch = Batch(
        service=service,
        reach=partial(check_reach, request),
        deadline=Deadline(service.pipeline.deadline_s),
    )
    made = await batch.answer(body)
    # Not orjson: errors may show halves of characters, as they were sent.
    return Response(json.dumps(made, separators=(",", ":")), media_type=JSON)


async def feedback(
    body: FeedbackBody,
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Take what a user did; 202 says that it is in the event log.

    As `feedback`, the same action on the same item with the same `request_id` counts once a minute.
    As `events`, in document 001's shape, the same counts once as at /interactions, and the answer
    says `events_processed`. A body has one of them.
    """
    tell = body.tell(idempotency_key=idempotency_key)
    return await _taken(request, body.root.user_id, tell, idempotency_key, shape=body.answer)


async def negative_feedback(
    body: NegativeFeedbackRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take what a user doesn't want to see; 202 says that it is in the event log.

    Against an item it counts as a dismissal, with the type and the reason beside it in the log;
    against a category as a preference. The same counts once a minute, for 24 h.
    """
    tell, shape = partial(told_by_negative, body), partial(negative_answer, body)
    return await _taken(request, body.user_id, tell, idempotency_key, shape=shape)


async def interact(
    body: InteractionsRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take one interaction, or several of a user; 202 says that they are in the event log.

    The same type on the same item in the same minute counts once in 24 h, unless each has an
    `interaction_id` of its own.
    """
    tell = partial(told_by_interactions, body, idempotency_key=idempotency_key)
    return await _taken(request, body.user_id, tell, idempotency_key, shape=interactions_answer)


async def _taken(
    request: Request,
    user_id: str,
    tell: Tell,
    idempotency_key: str | None,
    *,
    shape: Callable[[dict[str, Any]], dict[str, Any]],
) -> Response:
    """What a user did, in any document's shape, once it is safe."""
    caller, service = check_reach(request, user_id), _service(request)
    limit = await service.limits.admit(caller, "feedback", user_id)
    taken = await service.intake.take(tell, idempotency_key=idempotency_key)
    body = orjson.dumps(shape(taken))
    return Response(body, status_code=202, media_type=JSON, headers=limit.headers)


async def recommend(body: RecommendationRequest, request: Request) -> Response:
    """Choose items for a user, as document 001 asks and answers; the list is /v1/personalize's.

    `metadata.retrieval_sources` counts the items that each source brought.
    """
    asked = partial(recommendations.personalize_request, body)
    return await _listed(request, body.user_id, asked, shape=recommendations.body)


async def _listed(
    request: Request, user_id: str, asked: Callable[[], PersonalizeRequest], *, shape: Body
) -> Response:
    """A list for a user, in either document's shape; what is asked for is read last."""
    caller, service = check_reach(request, user_id), _service(request)
    made, impression, limit = await service.listed(caller, user_id, asked, shape=shape)
    return Response(
        orjson.dumps(made), media_type=JSON, headers={**limit.headers, **told_arms(impression)}
    )


async def similar(body: SimilarRequest, request: Request) -> Response:
    """Find what is like an item.

    `similarity_score` is how like the item it is. With a `user_id` the score need not fall, since
    what the user likes has a say in the order. Where nothing is like the item, popular items of its
    category come, and `metadata.fallbacks` says so.
    """
    service, caller = _service(request), request.state.caller
    if body.user_id:
        check_reach(request, body.user_id)
    limit = await service.limits.check(caller, "personalize", body.user_id or body.item_id)
    if not limit.allowed:
        raise limit.refusal()
    found = await service.similar.answer(body, request_id=current_request_id())
    return Response(orjson.dumps(found), media_type=JSON, headers=limit.headers)


async def explain(body: ExplainRequest, request: Request) -> Response:
    """Say why an item is shown to a user: for people, and with `include_trace` for machines.

    It is read from what was kept of the answer that showed the item: the one that `request_id`
    names, or the user's latest with the item. Where none is kept, `basis` is `present_state`: what
    would speak for the item now. `what_if` tells the list as it would have been.
    """
    caller, service = check_reach(request, body.user_id), _service(request)
    limit = await service.limits.admit(caller, "explain", body.user_id)
    found = await service.explainer.answer(body, request_id=current_request_id())
    return Response(orjson.dumps(found), media_type=JSON, headers=limit.headers)


async def known_user(
    request: Request,
    user_id: Annotated[str, Path(min_length=1, max_length=ID_MAX_LENGTH)],
) -> Response:
    """Decode all that the stores hold of a user, as of now; for administrators only."""
    check_reach(request, user_id)
    service = _service(request)
    try:
        told = await service.lookup.known(user_id, now_ms=wall_clock_ms())
    except StoreError as error:
        raise unavailable(str(error), hint="try again in a moment", retry_after_s=1) from error
    return Response(orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS), media_type=JSON)


async def experiment(
    request: Request, experiment_id: Annotated[str, Path(min_length=1, max_length=ID_MAX_LENGTH)]
) -> Response:
    """Compare the arms of an experiment; it may be asked as often as you like.

    Intervals and p-values hold however often one looks. An answer is at most a minute old. For
    administrators only.
    """
    service = _service(request)
    found = service.experiments.current.named(experiment_id) if service.experiments else None
    if found is None:
        raise _no_experiment(experiment_id)
    try:
        readout = await service.readouts.of(found)
    except (LakeError, StoreError) as error:
        raise unavailable(str(error), hint="try again in a moment", retry_after_s=10) from error
    told = ExperimentAnswer.of(readout, now_ms=wall_clock_ms())
    return Response(told.model_dump_json(), media_type=JSON)


def _no_experiment(experiment_id: str) -> ApiError:
    return ApiError(
        404,
        "unknown_experiment",
        message=f"there is no experiment {errors.shown(experiment_id)}",
        field="experiment_id",
        hint="name one of the file that serving.experiments_file names",
    )


async def healthz() -> Response:
    """Answer as long as the process is alive."""
    return Response(b'{"status":"ok"}', media_type=JSON)


async def readyz(request: Request) -> Response:
    """Say which dependencies are up; 503 while no answer could be given at all."""
    service = _service(request)
    dependencies = {
        breaker.name: {"up": not breaker.is_open, "detail": breaker.last_error}
        for breaker in service.breakers.all()
    }
    items = len(service.catalog)
    degraded = any(not state["up"] for state in dependencies.values())
    status = ("degraded" if degraded else "ready") if items else "unready"
    body = {"status": status, "dependencies": dependencies, "catalogue_items": items}
    return Response(orjson.dumps(body), status_code=200 if items else 503, media_type=JSON)


async def metrics_page(request: Request) -> Response:
    """Give all measurements."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def told_arms(impression: Impression) -> dict[str, str]:
    """The header that names the arms of experiments, where there are any."""
    text = header_text(impression.experiments)
    return {EXPERIMENT_HEADER: text} if text else {}


def _service(request: Request) -> Service:
    service: Service | None = getattr(request.app.state, "service", None)
    if service is None:
        raise unavailable("the service is starting", hint="try again in a moment", retry_after_s=1)
    return service
