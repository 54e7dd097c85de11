"""The job that keeps everything that happened as Parquet files, each message in them once.

Messages are collected in the JVM where they are read, become whole files in Python, one for each
table and hour that a group touches, and are put down by Flink's file sink. Files appear when their
checkpoint has ended, so what a failure repeats was never seen.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Row, Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import (
    DataStream,
    ProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.java_gateway import get_gateway

from domain.events import EventLimits
from jobs.kafka import KafkaLog
from operators.counting import Counters
from operators.flink import group_type
from operators.frames import incoming_of
from operators.interaction_lake import JOB, LakeSorter
from schemas.lake import LAKE_TABLES
from settings import Settings, load_settings
from stores.lake.files import files_of

TOPICS = tuple(table.topic for table in LAKE_TABLES)

# What becomes files at once: some seconds' worth in Python, and little beside its memory.
GROUP_MESSAGES = 16_384
GROUP_BYTES = 16 * 1_048_576


class LakeFiles(ProcessFunction):
    """Groups of messages in; rows of (directory, file) out."""

    def __init__(self, limits: EventLimits) -> None:
        self._sorter = LakeSorter(limits)

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the counters."""
        self._counters = Counters(runtime_context.get_metrics_group())

    def process_element(self, value: bytes, ctx: Any) -> Iterator[Row]:  # noqa: ARG002
        """Take a group of messages."""
        for file in files_of(self._sorter.rows(incoming_of(value), self._counters)):
            yield Row(file.directory, file.content)
        self._counters.tell()


def file_type() -> TypeInformation:
    """How Flink sees a file and the directory that it belongs in."""
    return Types.ROW([Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def build(*, source: DataStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between groups of messages and a sink of files."""
    events = settings.events
    limits = EventLimits(max_age_ms=events.max_age_ms, max_ahead_ms=events.max_ahead_ms)
    files = source.process(LakeFiles(limits), output_type=file_type())
    sink(files.name(JOB).uid(JOB))


def grouped(messages: Any, *, settings: Settings) -> DataStream:
    """Messages in groups that wait for the next checkpoint, unless they are large before."""
    longest_ms = int(settings.lake.commit_s * 2_000)
    groups = get_gateway().jvm.freshet.flink.ParquetLake.grouped(
        messages, GROUP_MESSAGES, GROUP_BYTES, longest_ms
    )
    groups.getTransformation().setOutputType(group_type().get_java_type_info())
    return DataStream(groups)


def sink_to(lake: Path) -> Callable[[DataStream], None]:
    """Put files down in a lake."""

    def sink(files: DataStream) -> None:
        get_gateway().jvm.freshet.flink.ParquetLake.sink(
            files._j_data_stream,  # noqa: SLF001
            lake.as_uri(),
        )

    return sink


def wire(env: StreamExecutionEnvironment, settings: Settings) -> None:
    """Describe the job, from Kafka to the lake, to an environment that will run it."""
    env.enable_checkpointing(int(settings.lake.commit_s * 1_000))
    # With each watermark a group would leave, and a file be made of it. Nothing here asks the time.
    env.get_config().set_auto_watermark_interval(0)
    log = KafkaLog(env, settings=settings, job=JOB)
    messages = log.messages(TOPICS, buckets=1)
    lake = settings.lake_directory
    lake.mkdir(parents=True, exist_ok=True)
    build(source=grouped(messages, settings=settings), sink=sink_to(lake), settings=settings)


def main() -> None:
    """Run the job where `flink run` says."""
    env = StreamExecutionEnvironment.get_execution_environment()
    wire(env, load_settings())
    env.execute(JOB)


if __name__ == "__main__":
    main()
