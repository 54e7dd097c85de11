"""How our own processes log: a line a message on stderr, as text or as JSON."""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Literal, TextIO

import structlog
from structlog.typing import ExcInfo

# These tell of every retry, and when debugged of keys and values; what it means for us, our own
# modules say.
QUIET = ("kafka", "pymilvus", "grpc", "httpx", "httpcore", "opentelemetry")


def configure(
    log_format: Literal["text", "json"], *, level: str = "info", private: bool = False
) -> None:
    """Send every logger's messages to stderr in one format.

    With `private` a fault is told by its kind and its place, without what the exception says: that
    may be anything that somebody sent.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, private=private))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if private:
        handler.addFilter(_first_line_of_asyncio)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _first_line_of_asyncio(record: logging.LogRecord) -> bool:
    """Its second line shows the task, and so what the task failed with."""
    if record.name == "asyncio":
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def _formatter(log_format: Literal["text", "json"], *, private: bool) -> logging.Formatter:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [_exceptions(private=private), structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_for_people(private=private)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def _exceptions(*, private: bool) -> structlog.typing.Processor:
    return (
        structlog.processors.ExceptionRenderer(places_of)
        if private
        else structlog.processors.format_exc_info
    )


def _for_people(*, private: bool) -> structlog.dev.ConsoleRenderer:
    """Plain tracebacks: the default shows local variables, and so requests and their secrets."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=_write_places if private else structlog.dev.plain_traceback,
    )


def _write_places(to: TextIO, fault: ExcInfo) -> None:
    to.write("\n" + places_of(fault))


def places_of(exc_info: ExcInfo) -> str:
    """A traceback without what the exceptions say, causes first."""
    return "\n".join(_places(exc_info[1]))


def _places(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _places(before)
        yield "which led to"
    yield "Traceback (most recent call last):"
    yield from (line.rstrip("\n") for line in traceback.format_tb(error.__traceback__))
    yield type(error).__qualname__
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield "in which"
            yield from _places(one)
