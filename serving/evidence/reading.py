"""Reads what was kept of an answer, for who has nothing but the stores."""

from typing import TypeVar

from schemas.codec import DecodeError, decode
from schemas.types import AnswerTrace, RankingTrace
from serving.evidence.retelling import Recorded, history_of, items_of
from stores.traces import TraceStore

Trace = TypeVar("Trace", AnswerTrace, RankingTrace)


class NotKeptError(Exception):
    """An answer can't be told again, and why."""


async def recorded(store: TraceStore, request_id: str) -> Recorded:
    """What was kept of an answer; raises `NotKeptError`, or `StoreUnavailable`."""
    answer = _read(await store.answer(request_id), AnswerTrace, "answer", request_id)
    key = answer.ranking
    ranking = _read(await store.ranking(key), RankingTrace, "ranking", key)
    try:
        history = history_of(answer)
    except DecodeError as error:
        raise unreadable("answer", request_id, error) from error
    vectors = await store.vectors(items_of(history, ranking))
    return Recorded(answer=answer, ranking=ranking, vectors=vectors)


def _read(stored: bytes | None, kind: type[Trace], name: str, key: str) -> Trace:
    if stored is None:
        raise NotKeptError(
            f"the trace of {name} {key} is not kept: traces live for serving.traces_s, of "
            "serving.traces_per_s answers a second at most, and go when their user is erased"
        )
    try:
        return decode(stored, kind)
    except DecodeError as error:
        raise unreadable(name, key, error) from error


def unreadable(name: str, key: str, error: DecodeError) -> NotKeptError:
    """The error of a record that is there, and isn't one that this release knows."""
    return NotKeptError(
        f"the trace of {name} {key} can't be read ({error}); replay it with the release that wrote "
        "it"
    )
