"""Whatever is sent, in whatever state the servers behind are, the contract is kept."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from requests import Session
from structlog.testing import capture_logs

from serving.admission import admission_of
from serving.app import create_app
from serving.publish import CONTRACT
from tests.serving.callers_at_hand import every_kind, guarded
from tests.serving.fuzzing import boundaries, bounded, checked, requests, session_to
from tests.serving.garbage import spoil
from tests.serving.pretended import Outside, known_user, posterior

LABELS = [
    f"{method.upper()} {path}"
    for path, offered in json.loads(CONTRACT.read_text(encoding="utf-8"))["paths"].items()
    for method in offered
]
REDIS = ("online", "neighbors", "posteriors", "memory", "limits", "lookup")
AWAY: dict[str, tuple[str, ...]] = {
    "redis away": REDIS,
    "milvus away": ("vectors",),
    "triton away": ("ranker",),
    "kafka away": ("event_log",),
    "all away": (*REDIS, "vectors", "ranker", "event_log"),
}
# What nothing asked of these can be found for.
NEVER_THERE = {"GET /v1/experiments/{experiment_id}"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """One for all, since making it takes longer than any answer."""
    return create_app(guarded(tmp_path_factory.mktemp("keys"), kept_feedback=0))


@pytest.fixture
def outside(app: FastAPI, tmp_path: Path) -> Outside:
    settings = guarded(tmp_path, kept_feedback=0)
    app.state.admission = admission_of(settings)
    made = Outside(settings=settings, metrics=app.state.metrics)
    made.online.users["u1"] = known_user()
    made.neighbors.beside["mug-0"] = {"lamp-1": 0.02}
    made.posteriors.known["mug-0"] = posterior(3.0, 1.0)
    return made


@pytest.fixture(scope="module")
def session(app: FastAPI) -> Iterator[Session]:
    with session_to(app) as opened:
        yield opened


def bring_into(state: str, outside: Outside) -> None:
    for name in AWAY.get(state, ()):
        getattr(outside, name).away = True


def callers() -> st.SearchStrategy[dict[str, str]]:
    """Mostly somebody who is let in, as far as to the answer; else anybody."""
    kinds = every_kind()
    let_in = [kinds[name] for name in ("admin token", "admin key", "own token")]
    anybody = st.sampled_from([*kinds.values(), {"Authorization": "Basic dTpw"}])
    return (st.sampled_from(let_in) | st.sampled_from(let_in) | anybody).map(dict)


def fuzzed(label: str, session: Session, *, examples: int, trouble: bool) -> Counter[int]:
    """How often each status came."""
    seen: Counter[int] = Counter()

    @bounded(examples)
    @given(case=requests(label), headers=callers())
    def send(case: Any, headers: dict[str, str]) -> None:
        seen[checked(case, session, headers, trouble=trouble)] += 1

    with capture_logs():
        send()
    return seen


@pytest.mark.parametrize("label", LABELS)
def test_the_contract_is_kept(app: FastAPI, outside: Outside, session: Session, label: str) -> None:
    app.state.service = outside.service()
    seen = fuzzed(label, session, examples=30, trouble=False)
    # Else nothing was tried but refusals.
    assert label in NEVER_THERE or seen.keys() & {200, 202}, seen


@pytest.mark.parametrize("label", LABELS)
def test_the_contract_is_kept_at_the_limits_of_every_field(
    app: FastAPI, outside: Outside, session: Session, label: str
) -> None:
    app.state.service = outside.service()
    headers = every_kind()["admin token"]
    with capture_logs():
        for case in boundaries(label):
            checked(case, session, headers, trouble=False)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("state", AWAY)
def test_without_servers_nothing_fails_but_as_promised(
    app: FastAPI, outside: Outside, session: Session, label: str, state: str
) -> None:
    bring_into(state, outside)
    app.state.service = outside.service()
    fuzzed(label, session, examples=12, trouble=True)


@pytest.mark.parametrize("label", LABELS)
def test_servers_that_answer_garbage_make_nothing_fail(
    app: FastAPI, outside: Outside, session: Session, label: str
) -> None:
    @bounded(60 if label.startswith("POST") else 10)
    @given(case=requests(label), headers=callers(), seed=st.integers(0, 2**32))
    def send(case: Any, headers: dict[str, str], seed: int) -> None:
        spoil(outside, seed)
        app.state.service = outside.service()
        checked(case, session, headers, trouble=True)

    with capture_logs():
        send()
