"""Runs the HTTP interface in this process until it is told to stop."""

import sys
from typing import Any

import structlog
import uvicorn

from serving.admission import refuse_if_exposed
from serving.app import create_app
from serving.heap import collect_seldom
from serving.tls import tls_files
from serving.wire import BoundedHead
from settings import Settings

BACKLOG = 2_048
STOP_WITHIN_S = 10
# Clients have threads of their own. With Python's 5 ms each of them and the loop wait for so long
# for each other: decision 24 has the measurement.
SWITCH_S = 0.0005


def run(settings: Settings) -> None:
    """Serve."""
    configure_logging()
    sys.setswitchinterval(SWITCH_S)
    app = create_app(settings)
    refuse_if_exposed(app.state.admission, settings)
    tls = tls_files(settings.serving)
    collect_seldom()
    uvicorn.run(
        app,
        host=settings.serving.host,
        port=settings.serving.port,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        **uvicorn_settings(),
    )


def uvicorn_settings() -> dict[str, Any]:
    """How HTTP is read and answered, wherever it comes from."""
    return {
        "loop": "uvloop",
        "http": BoundedHead,
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "backlog": BACKLOG,
        "timeout_graceful_shutdown": STOP_WITHIN_S,
    }


def configure_logging() -> None:
    """Hand structured messages, with the request's id, to the standard library's logging."""
    structlog.configure(
        processors=[
            # First, so that a line that nobody wants costs little.
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
