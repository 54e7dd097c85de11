"""How our own processes log: a line a message on stderr, as text or as JSON."""

import logging
import sys
from typing import Literal

import structlog

# These tell of every retry; what it means for us, our own modules say.
QUIET = ("kafka", "pymilvus", "grpc", "httpx", "httpcore")


def configure(log_format: Literal["text", "json"], *, level: int = logging.INFO) -> None:
    """Send every logger's messages to stderr in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _formatter(log_format: Literal["text", "json"]) -> logging.Formatter:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_for_people()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def _for_people() -> structlog.dev.ConsoleRenderer:
    """Plain tracebacks: the default shows local variables, and so requests and their secrets."""
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
