"""Whether a Redis server has on its disk what it was told, asked without waiting for it.

A server that syncs its log once a second answers before what it was told is on the disk, and one
that is killed then has lost it. Whoever commits by its answers asks here first.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis import exceptions as failures

from schemas.redis_keys import WRITERS_MARK
from stores.errors import StoreError, StoreUnavailable
from stores.redis_server import STORE, translated

log = logging.getLogger(__name__)


class DiskMark:
    """A mark in the server's log: once it is on the disk, so is all that was written before it.

    It stands on one connection, which is never made anew behind our back: that it is broken says
    that the server may have been started again since. All but `open` raise `StoreUnavailable`
    then, until `open` is called. A server that keeps no log, or doesn't say what is on its disk,
    is taken at its word.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._connection: Any = None
        self._waits = self._silent = False

    def open(self) -> None:
        """Connect; what was written before can't be asked for any more."""
        self.close()
        with translated():
            connection: Any = self._client.connection_pool.make_connection()
            connection.connect()
        self._connection, self._waits = connection, False

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.disconnect()
        self._connection = None

    def ask(self) -> None:
        """Set a mark behind all that was written so far, by whomever."""
        with self._whole() as connection:
            if self._waits:
                # Of a mark that nobody asked after any more: else it passed for this one's answer.
                self._read_answer(connection)
                self._waits = False
            connection.send_command("SET", WRITERS_MARK.of(), "", "EX", WRITERS_MARK.ttl_s)
            connection.read_response()
            connection.send_command("WAITAOF", 1, 0, 0)
            self._waits = True

    def reached(self) -> bool:
        """Whether the last mark is on the disk."""
        with self._whole() as connection:
            if self._waits and connection.can_read():
                self._waits = False
                self._read_answer(connection)
            return not self._waits

    def wait(self) -> None:
        """Set a mark, and wait for it as long as the server may take for any answer."""
        self.ask()
        with self._whole() as connection:
            self._read_answer(connection)
            self._waits = False

    @contextmanager
    def _whole(self) -> Iterator[Any]:
        """The connection, unless it's broken; whatever goes wrong on it breaks it."""
        if self._connection is None:
            raise StoreUnavailable(STORE, "the connection that tells of its disk is broken")
        try:
            with translated():
                yield self._connection
        except StoreError:
            self.close()
            raise

    def _read_answer(self, connection: Any) -> None:
        try:
            connection.read_response()
        except failures.ResponseError as error:
            if not self._silent:
                log.warning(
                    "Redis is taken at its word, as it names no writes on its disk: %s", error
                )
            self._silent = True
