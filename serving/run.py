"""Runs the HTTP interface in this process until it is told to stop."""

import gc
import sys

import structlog
import uvicorn

from serving.admission import refuse_if_exposed
from serving.app import create_app
from serving.tls import tls_files
from settings import Settings

BACKLOG = 2_048
STOP_WITHIN_S = 10
# The producer of the log has a thread of its own. With Python's 5 ms each of the two waits for so
# long for the other, several times a request: decision 24 has the measurement.
SWITCH_S = 0.0005


def run(settings: Settings) -> None:
    """Serve."""
    configure_logging()
    sys.setswitchinterval(SWITCH_S)
    app = create_app(settings)
    refuse_if_exposed(app.state.admission, settings)
    tls = tls_files(settings.serving)
    _leave_alone_what_lasts()
    uvicorn.run(
        app,
        host=settings.serving.host,
        port=settings.serving.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )


def _leave_alone_what_lasts() -> None:
    """Take modules, schemas and routes out of what is searched for garbage.

    To search them took 70 to 160 ms each time, in which no request was answered.
    """
    gc.collect()
    gc.freeze()


def configure_logging() -> None:
    """Hand structured messages, with the request's id, to the standard library's logging."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
