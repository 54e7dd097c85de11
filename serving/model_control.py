"""What a model server has, and having it load and unload: its repository API.

A version that is loaded takes the old one's place once it is ready, and what the old one was asked
it still answers; one that can't be loaded changes nothing.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import json_format, text_format
from tritonclient.grpc import InferenceServerClient, model_config_pb2
from tritonclient.utils import InferenceServerException

READY, UNLOADING = "READY", "UNLOADING"
POLL_S = 0.05
NS_IN_MS = 1e6


class ModelServerError(Exception):
    """The model server can't be asked, or refuses; its reason stands in the message."""


@dataclass(frozen=True, kw_only=True)
class ServedVersion:
    """A version that the server knows: its state, why it isn't ready, and how it has done.

    `requests` are answered ones, `runs` those of the model: with several requests in one run there
    are fewer. Times are means of a request, of which `queue_ms` is spent waiting.
    """

    version: int
    state: str
    reason: str
    requests: int = 0
    failures: int = 0
    runs: int = 0
    mean_ms: float | None = None
    queue_ms: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.state == READY


class ModelServer:
    """A Triton server, as it is operated; use it as a context."""

    def __init__(self, address: str, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client = InferenceServerClient(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def versions(self) -> dict[str, list[ServedVersion]]:
        """Every version of every model that is loaded, or that couldn't be."""
        with self._asking("the list of models"):
            index = self._client.get_model_repository_index(client_timeout=self._timeout_s)
            told = self._client.get_inference_statistics(client_timeout=self._timeout_s)
        statistics = {(one.name, one.version): one for one in told.model_stats}
        found: defaultdict[str, list[ServedVersion]] = defaultdict(list)
        for one in index.models:
            if one.version:
                found[one.name].append(_version(one, statistics.get((one.name, one.version))))
        return dict(found)

    def config(self, name: str) -> str:
        """The configuration that a loaded model runs by, as text."""
        with self._asking(f"the configuration of {name}"):
            told = self._client.get_model_config(name, client_timeout=self._timeout_s)
        return text_format.MessageToString(told.config)

    def load(self, name: str, config: str) -> None:
        """Load a model, or load it anew, by a configuration in text."""
        with self._asking(f"loading {name}"):
            self._client.load_model(name, config=_json(config), client_timeout=self._timeout_s)

    def unload(self, name: str) -> None:
        """Let go of all versions of a model, and wait until they have answered what they owe."""
        give_up = time.monotonic() + self._timeout_s
        with self._asking(f"unloading {name}"):
            self._client.unload_model(name, client_timeout=self._timeout_s)
        while any(one.state == UNLOADING for one in self.versions().get(name, ())):
            if time.monotonic() > give_up:
                raise ModelServerError(f"{name} still answers requests; it goes when it has")
            time.sleep(POLL_S)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except (InferenceServerException, grpc.RpcError) as error:
            said = error.message() if isinstance(error, InferenceServerException) else str(error)
            raise ModelServerError(f"{self._address}, {what}: {shortened(said)}") from error


def shortened(reason: str) -> str:
    r"""What a server says in one line, without the places in the code.

    >>> shortened("Internal: ValueError: no file\n\nAt:\n  /a/model.py(1): initialize\n;")
    'Internal: ValueError: no file'
    """
    return " ".join(reason.partition("\n\nAt:\n")[0].split()).rstrip(";")


def with_version(config: str, version: int) -> str:
    """A configuration by which this version alone is served.

    >>> with_version('name: "ranker" version_policy { latest { num_versions: 1 } }', 2).split()[4:]
    ['specific', '{', 'versions:', '2', '}', '}']
    """
    parsed = _parsed(config)
    parsed.version_policy.Clear()
    parsed.version_policy.specific.versions.append(version)
    return text_format.MessageToString(parsed)


def _parsed(config: str) -> Any:
    try:
        return text_format.Parse(config, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ModelServerError(f"config.pbtxt: {error}; correct it") from error


def _json(config: str) -> str:
    told: str = json_format.MessageToJson(_parsed(config), preserving_proto_field_name=True)
    return told


def _version(listed: Any, told: Any) -> ServedVersion:
    return ServedVersion(
        version=int(listed.version),
        state=listed.state,
        reason=shortened(listed.reason),
        **(_statistics(told.inference_stats, told.execution_count) if told else {}),
    )


def _statistics(told: Any, runs: int) -> Mapping[str, Any]:
    done = told.success.count
    return {
        "requests": done,
        "failures": told.fail.count,
        "runs": runs,
        "mean_ms": round(told.success.ns / done / NS_IN_MS, 3) if done else None,
        "queue_ms": round(told.queue.ns / done / NS_IN_MS, 3) if done else None,
    }
