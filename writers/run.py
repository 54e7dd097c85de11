"""The process of the writers: a thread for each store, and its pages."""

import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from settings import Settings
from stores.errors import LogUnavailable
from stores.event_log import EventLog, create_topics
from writers.carrier import Carrier, GroupSettings
from writers.metrics import Metrics, pages
from writers.targets import MilvusTarget, RecordsTarget, RedisTarget, Target

KAFKA_PAUSE_S = 1.0

log = logging.getLogger(__name__)


class WriterCrashed(Exception):  # noqa: N818
    """A writer's thread has ended by a fault of its own; its log line says which."""


def run(settings: Settings) -> None:
    """Write until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    write_until(stop, settings)


def write_until(stop: threading.Event, settings: Settings) -> None:
    """Write until `stop`; raises `WriterCrashed` where a thread ends before."""
    fleet = Fleet()
    metrics = Metrics()
    # The port is taken first: it makes this process' name in the consumer groups its own.
    with pages(metrics, fleet.health, port=settings.writers.metrics_port):
        _have_topics(stop, settings)
        with EventLog(settings.kafka.bootstrap, client_id=settings.writers.group) as letters:
            group = _group(settings)
            fleet.start(
                [
                    Carrier(target, group=group, letters=letters, metrics=metrics)
                    for target in _targets(settings)
                ],
                stop,
            )
            fleet.join()
    log.info("stopped")
    fleet.check()


def _targets(settings: Settings) -> tuple[Target, ...]:
    records = (RecordsTarget(settings.records_url),) if settings.records.enabled else ()
    return (
        RedisTarget(settings.redis.url),
        MilvusTarget(
            settings.milvus.uri,
            token=settings.milvus.token.get_secret_value(),
            linger_s=settings.writers.user_vectors_s,
        ),
        *records,
    )


def _group(settings: Settings) -> GroupSettings:
    return GroupSettings(
        bootstrap=settings.kafka.bootstrap,
        group=settings.writers.group,
        member=f"{socket.gethostname()}-{settings.writers.metrics_port}",
        batch=settings.writers.batch,
    )


def _have_topics(stop: threading.Event, settings: Settings) -> None:
    kafka = settings.kafka
    while not stop.is_set():
        try:
            report = create_topics(
                kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication
            )
        except LogUnavailable as error:
            log.warning("waiting: %s", error)
            stop.wait(KAFKA_PAUSE_S)
            continue
        log.info("topics are there; created now: %s", ", ".join(report.created) or "none")
        return


class Worker(Protocol):
    """What a thread of the fleet does."""

    @property
    def store(self) -> str:
        """The store that it fills."""
        ...

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`."""
        ...

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and the details."""
        ...


class Fleet:
    """The carriers and their threads."""

    def __init__(self) -> None:
        self._carriers: list[tuple[str, Worker]] = []
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []

    def start(self, carriers: Sequence[Worker], stop: threading.Event) -> None:
        """Start a thread for each; one that fails stops all."""
        self._carriers = [(carrier.store, carrier) for carrier in carriers]
        self._threads = [
            threading.Thread(
                target=self._guarded, args=(carrier.store, carrier.run, stop), name=carrier.store
            )
            for carrier in carriers
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the end of all."""
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise if one did not end by being told to."""
        if self._failures:
            raise WriterCrashed(f"ended by a fault: {', '.join(self._failures)}; see the log")

    def health(self) -> tuple[bool, dict[str, Any]]:
        """How all are, by store."""
        found = {store: carrier.health() for store, carrier in self._carriers}
        is_well = bool(found) and all(well for well, _ in found.values())
        return is_well, {store: detail for store, (_, detail) in found.items()}

    def _guarded(
        self, store: str, work: Callable[[threading.Event], None], stop: threading.Event
    ) -> None:
        try:
            work(stop)
        except Exception:
            log.exception("%s: ended by a fault", store)
            self._failures.append(store)
        finally:
            stop.set()
