"""Every call, every kind of caller."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.access import CALLS
from serving.admission import admission_of
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from tests.serving.bandit.calling import SEGMENT, channel_to, details_of
from tests.serving.callers_at_hand import every_kind, guarded
from tests.serving.pretended import Outside

REQUESTS: dict[str, Any] = {
    "Sample": pb.SampleRequest(item_ids=["i"], context_segment=SEGMENT),
    "GetParameters": pb.ParameterRequest(item_ids=["i"], context_segment=SEGMENT),
    "UpdatePosterior": pb.UpdateRequest(
        item_id="i", context_segment=SEGMENT, reward=1.0, update_id="once"
    ),
}
UNKNOWN = {"anonymous", "bad key", "expired key", "revoked key", "bad token"}
MAY = {"serve": {"serve key"}, "feedback": {"feedback key"}}
ADMINISTRATORS = {"admin key", "admin token"}


def test_every_call_says_who_may_make_it() -> None:
    methods = pb.DESCRIPTOR.services_by_name["BanditService"].methods_by_name
    assert CALLS.keys() == set(methods.keys()) == REQUESTS.keys()


@pytest.mark.parametrize("kind", every_kind())
@pytest.mark.parametrize("method", CALLS)
async def test_each_caller_may_do_what_is_theirs(tmp_path: Path, method: str, kind: str) -> None:
    sent = [(name.lower(), value) for name, value in every_kind()[kind].items()]
    admission = admission_of(guarded(tmp_path))
    async with channel_to(Outside(), admission=admission) as channel:
        stub: Any = BanditServiceStub(channel)
        call = getattr(stub, method)(REQUESTS[method], metadata=sent)
        code, told = await call.code(), str(await call.details())
    assert sent == [] or sent[0][1].split()[1] not in told
    if kind in UNKNOWN:
        assert code is grpc.StatusCode.UNAUTHENTICATED
    elif kind in MAY[CALLS[method]] | ADMINISTRATORS:
        assert code is grpc.StatusCode.OK
    else:
        assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_refusal_says_what_is_needed(tmp_path: Path) -> None:
    sent = [(name.lower(), value) for name, value in every_kind()["serve key"].items()]
    async with channel_to(Outside(), admission=admission_of(guarded(tmp_path))) as channel:
        stub: Any = BanditServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.UpdatePosterior(REQUESTS["UpdatePosterior"], metadata=sent)
    assert "freshet key create --scope feedback" in (refused.value.details() or "")
    assert details_of(refused.value)
