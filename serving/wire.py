"""How long the head of a request may be, and how long it may take to come."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
HEAD_WITHIN_S = 10.0

# The same error as elsewhere, but nobody has given the request an id yet.
TOO_LARGE = (
    b'{"error":{"code":"head_too_large","message":"the request line and the headers have more than '
    b'%d bytes","hint":"send fewer or shorter headers","request_id":""}}' % MAX_HEAD_BYTES
)


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol; who doesn't come to the end of a head is answered 431, or nothing.

    uvicorn itself waits for ever, and keeps all that comes.
    """

    in_head = True
    head_bytes = 0
    head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished head."""
        super().data_received(data)
        if not self.in_head:
            return
        self.head_bytes += len(data)
        if self.head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """Expect the rest of the head."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Go on without a limit here; the application has its own for bodies."""
        self._head_is_here()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_is_here()
        self.in_head, self.head_bytes = True, 0
        self.head_due = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _head_is_here(self) -> None:
        self.in_head = False
        if self.head_due is not None:
            self.head_due.cancel()
            self.head_due = None

    def _refuse(self) -> None:
        self._head_is_here()
        head = (
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
        )
        self.transport.write(head % len(TOO_LARGE) + TOO_LARGE)
        self.transport.close()
