"""The gRPC server beside HTTP, in the same process and event loop: health and reflection included.

Calls need the keys that requests need; health and reflection are open to all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serving.admission import Admission
from serving.contracts.freshet.bandit.v1 import bandit_pb2, bandit_pb2_grpc
from serving.metrics import Metrics
from serving.rpc.gate import CallGate
from serving.tracing import Tracer

SERVICE = bandit_pb2.DESCRIPTOR.services_by_name["BanditService"].full_name
WHOLE_SERVER = ""

MAX_REQUEST_BYTES = 262_144
MAX_CALLS_AT_ONCE = 512
STOP_WITHIN_S = 5.0
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # Two servers on one port would share the calls, unseen.
    ("grpc.so_reuseport", 0),
)


class PortTakenError(Exception):
    """The server can't listen where it should."""


@asynccontextmanager
async def listening(
    bandit: bandit_pb2_grpc.BanditServiceServicer,
    *,
    host: str,
    port: int,
    admission: Admission,
    metrics: Metrics,
    tracer: Tracer | None = None,
) -> AsyncIterator[int]:
    """A server that answers, by its port (0: any); on the way out running calls may end."""
    server = grpc.aio.server(
        interceptors=(CallGate(SERVICE, admission=admission, metrics=metrics, tracer=tracer),),
        options=OPTIONS,
        maximum_concurrent_rpcs=MAX_CALLS_AT_ONCE,
    )
    bandit_pb2_grpc.add_BanditServiceServicer_to_server(bandit, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    bound = _bound(server, host, port)
    await server.start()
    for name in (WHOLE_SERVER, SERVICE):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield bound
    finally:
        await healthy.enter_graceful_shutdown()
        await server.stop(STOP_WITHIN_S)


def _bound(server: grpc.aio.Server, host: str, port: int) -> int:
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise PortTakenError(
            f"gRPC can't listen at {host}:{port}; stop who does, or choose another "
            "serving.grpc_port"
        ) from error
