"""Kafka: one node in KRaft mode, from the jars of `pom.xml`."""

import fcntl
import subprocess
from pathlib import Path

from settings import Settings
from stack.health import kafka_trouble, tcp_trouble
from stack.jars import fetch_jars, jar_directory
from stack.layout import Layout
from stack.part import Part, Program, StackError

# A fixed id: a directory formatted once is recognised by every later start.
CLUSTER_ID = "ZnJlc2hldC1rYWZrYS0wMQ"
LOG4J = Path(__file__).with_name("kafka-log4j2.properties")


def part(settings: Settings, layout: Layout) -> Part:
    """The event log."""
    kafka = settings.kafka
    return Part(
        name="kafka",
        address=kafka.bootstrap,
        external=bool(kafka.external),
        ports={"kafka.port": kafka.port, "kafka.controller_port": kafka.controller_port},
        program_names=("kafka",),
        programs=lambda: (_broker(layout),),
        trouble=lambda: (
            tcp_trouble(kafka.external, default_port=9092)
            if kafka.external
            else kafka_trouble(kafka.port)
        ),
        prepare=lambda: _prepare(settings, layout),
    )


def _home(layout: Layout) -> Path:
    return layout.data / "kafka"


def _properties_file(layout: Layout) -> Path:
    return _home(layout) / "server.properties"


def _broker(layout: Layout) -> Program:
    jars = jar_directory(layout.cache) / "kafka"
    return Program(
        name="kafka",
        argv=(
            *("java", "-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"),
            *(f"-Dlog4j2.configurationFile={LOG4J}", "-cp", f"{jars}/*"),
            *("kafka.Kafka", str(_properties_file(layout))),
        ),
        cwd=_home(layout),
        restart=True,
    )


def _prepare(settings: Settings, layout: Layout) -> None:
    jars = fetch_jars(layout.cache)
    _home(layout).mkdir(parents=True, exist_ok=True)
    _properties_file(layout).write_text(properties(settings, layout))
    with (_home(layout) / "format.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_home(layout) / "log" / "meta.properties").exists():
            _format(jars / "kafka", _properties_file(layout), lock.fileno())


def _format(jars: Path, properties_file: Path, lock: int) -> None:
    """Make the storage. Who does it has the lock too, and keeps it if this process is killed."""
    done = subprocess.run(
        [
            *("java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.tools.StorageTool"),
            *("format", "--ignore-formatted", "--standalone"),
            *("--cluster-id", CLUSTER_ID, "--config", str(properties_file)),
        ],
        capture_output=True,
        text=True,
        check=False,
        pass_fds=(lock,),
    )
    if done.returncode != 0:
        raise StackError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")


def properties(settings: Settings, layout: Layout) -> str:
    """The broker's configuration.

    Topics exist because they are declared, never because someone misspelt one. Transactions may
    live an hour, which is what Flink's exactly-once sink asks for.
    """
    kafka = settings.kafka
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": (
            f"PLAINTEXT://127.0.0.1:{kafka.port},CONTROLLER://127.0.0.1:{kafka.controller_port}"
        ),
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{kafka.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": _home(layout) / "log",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "transaction.max.timeout.ms": 3_600_000,
        "group.initial.rebalance.delay.ms": 0,
        "log.segment.bytes": 67_108_864,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
