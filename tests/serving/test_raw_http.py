"""Bytes that are no HTTP, or hardly: nothing hangs, nothing fails, the next request is answered."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from serving.app import create_app
from serving.run import uvicorn_settings
from settings import Settings
from tests.serving.fuzzing import bounded
from tests.serving.pretended import Outside, known_user

HOST = "127.0.0.1"
WITHIN_S = 5.0
QUIET_S = 0.05
BODY = b'{"user_id": "u1"}'
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Z]")

Address = tuple[str, int]


@pytest.fixture(scope="module")
def server() -> Iterator[Address]:
    """The service on a port of its own, run as `freshet api` runs it."""
    settings = Settings.model_validate({"serving": {"kept_feedback": 0}})
    app = create_app(settings)
    outside = Outside(settings=settings, metrics=app.state.metrics)
    outside.online.users["u1"] = known_user()
    app.state.service = outside.service()
    with socket.create_server((HOST, 0)) as taken:
        config = uvicorn.Config(app, lifespan="off", **uvicorn_settings())
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [taken]})
        with capture_logs():
            thread.start()
            while not running.started:
                time.sleep(0.01)
            yield taken.getsockname()
            running.should_exit = True
            thread.join(WITHIN_S)
    assert not thread.is_alive()


def post(*headers: bytes, body: bytes = BODY, length: bytes | None = None) -> bytes:
    """A request; its length is the body's unless another is named."""
    lines = [b"POST /v1/personalize HTTP/1.1", b"host: test", b"content-type: application/json"]
    if length is None and not any(b"chunked" in one for one in headers):
        length = b"%d" % len(body)
    if length is not None:
        lines.append(b"content-length: " + length)
    return b"\r\n".join([*lines, *headers, b"", body])


def exchange(server: Address, sent: bytes, *, half_closed: bool = False, answers: int = 0) -> bytes:
    """What came back: so many answers, or all to the connection's end, or what comes at once."""
    with socket.create_connection(server, timeout=WITHIN_S) as opened:
        # The server may have closed by the time that all is sent.
        with suppress(ConnectionError):
            opened.sendall(sent)
            if half_closed:
                opened.shutdown(socket.SHUT_WR)
        return _received(opened, half_closed=half_closed, answers=answers)


def _received(opened: socket.socket, *, half_closed: bool, answers: int) -> bytes:
    told = b""
    while not answers or len(STATUS.findall(told)) < answers:
        due = half_closed or answers
        opened.settimeout(WITHIN_S if due else QUIET_S)
        try:
            some = opened.recv(65_536)
        except ConnectionError:
            return told
        except TimeoutError:
            assert not due, f"nothing for {WITHIN_S} s, and the connection is open: {told[-500:]!r}"
            return told
        if not some:
            break
        told += some
    return told


def check(
    server: Address, sent: bytes, *, half_closed: bool = False, answers: int = 0
) -> list[int]:
    """The statuses that came back; afterwards the server has to answer as ever."""
    told = exchange(server, sent, half_closed=half_closed, answers=answers)
    statuses = [int(one) for one in STATUS.findall(told)]
    assert all(status < 500 for status in statuses), told[:500]
    good = exchange(server, post(), answers=1)
    assert STATUS.findall(good) == [b"200"], good[:500]
    return statuses


token = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
    str.encode
)
lengths = st.one_of(
    st.integers(-5, 100_000).map(lambda one: b"%d" % one),
    st.sampled_from([b"", b"+17", b"0x11", b"17, 17", b"1 7", b"9" * 40, b"1e1", b"\xc2\xb2"]),
)
sizes = st.one_of(
    st.integers(0, 300).map(lambda one: b"%x" % one),
    st.sampled_from([b"", b"-1", b"0x5", b"f" * 20, b"5;a=b", b"5 ", b"zz", b"05", b"5;" * 50]),
)
chunked = st.lists(
    st.tuples(sizes, st.binary(max_size=40), st.sampled_from([b"\r\n", b"\n", b"", b"\r"])),
    max_size=4,
).map(
    lambda chunks: post(
        b"transfer-encoding: chunked",
        body=b"".join(size + end + data + end for size, data, end in chunks) + b"0\r\n\r\n",
    )
)
wrong_lengths = st.builds(lambda length: post(length=length), lengths)
both = st.builds(lambda length: post(b"transfer-encoding: chunked", length=length), lengths)
twice = st.builds(lambda length: post(b"content-length: " + length), lengths)
encodings = st.sampled_from(
    [b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"\x0bchunked"]
)
encoded = encodings.map(lambda one: post(b"transfer-encoding: " + one, body=b"0\r\n\r\n"))
oddities = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"expect: 100-continue", b"expect: 200-ok", b"upgrade: websocket"),
                *(b"connection: upgrade", b"connection: close", b"connection: keep-alive, upgrade"),
                *(
                    b"host:",
                    b"host: a\r\nhost: b",
                    b" folded",
                    b"no-colon",
                    b": no-name",
                    b"a: \x00",
                ),
                *(b"content-type: text/plain", b"authorization: Bearer \xff", b"\xff: \xff"),
            ]
        ),
        st.builds(lambda name, value: name + b": " + value, token, st.binary(max_size=60)),
    ),
    max_size=4,
).map(lambda headers: post(*headers))
heads = st.sampled_from(
    [
        *(b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"),
        *(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", b"GET http://a/healthz HTTP/1.1\r\n\r\n"),
        *(
            b"GET //[ HTTP/1.1\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n",
            b"GET /%ff%00 HTTP/1.1\r\n\r\n",
        ),
        *(
            b"GET /healthz HTTP/1.0\r\n\r\n",
            b"GET /healthz\r\n\r\n",
            b"GET /healthz HTTP/9.9\r\n\r\n",
        ),
        *(b"FRESHET /healthz HTTP/1.1\r\n\r\n", b"HEAD /healthz HTTP/1.1\r\n\r\n", b"\r\n\r\n\r\n"),
        *(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"),
    ]
)
flipped = st.tuples(st.integers(0, len(post()) - 1), st.integers(1, 255)).map(
    lambda drawn: bytes(
        one ^ (drawn[1] if place == drawn[0] else 0) for place, one in enumerate(post())
    )
)
cut = st.integers(0, len(post())).map(lambda end: post()[:end])
requests = st.one_of(
    chunked,
    wrong_lengths,
    both,
    twice,
    encoded,
    oddities,
    heads,
    flipped,
    cut,
    st.binary(max_size=300),
)


@bounded(200)
@given(sent=requests, half_closed=st.booleans())
def test_no_bytes_make_the_server_hang_or_fail(
    server: Address, sent: bytes, *, half_closed: bool
) -> None:
    check(server, sent, half_closed=half_closed)


@bounded(40)
@given(before=st.integers(1, 5), between=requests, after=st.integers(0, 3))
def test_bad_bytes_between_good_requests_fail_nothing_and_fill_no_log(
    server: Address, caplog: pytest.LogCaptureFixture, before: int, between: bytes, after: int
) -> None:
    caplog.clear()
    assert check(server, post() * before + between + post() * after, answers=1)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("count", [1, 200])
def test_requests_that_are_sent_at_once_are_all_answered(server: Address, count: int) -> None:
    sent = post() * (count - 1) + post(b"connection: close")
    assert check(server, sent, answers=count) == [200] * count


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([b"x-long: " + b"a" * 60_000], 200),
        ([b"x-%d: a" % number for number in range(2_000)], 200),
        ([b"x-%d: %s" % (number, b"a" * 4_000) for number in range(500)], 431),
        ([b"x-long: " + b"a" * 5_000_000], 431),
    ],
    ids=["one", "many", "many long", "huge"],
)
def test_huge_headers_are_refused(server: Address, headers: list[bytes], status: int) -> None:
    told = exchange(server, post(*headers), answers=1)
    # Who still sends may be cut off before the answer is read.
    assert STATUS.findall(told) == [b"%d" % status] or (status == 431 and not told), told[:500]
    assert check(server, post(), answers=1) == [200]


def test_a_head_without_an_end_is_refused_with_the_reason(server: Address) -> None:
    with socket.create_connection(server, timeout=WITHIN_S) as opened:
        opened.sendall(b"GET /healthz HTTP/1.1\r\nx-long: " + b"a" * 40_000)
        time.sleep(QUIET_S)
        opened.sendall(b"a" * 30_000)
        told = b"".join(iter(lambda: opened.recv(65_536), b""))
    assert STATUS.findall(told) == [b"431"]
    error = json.loads(told.partition(b"\r\n\r\n")[2])["error"]
    assert error["code"] == "head_too_large"
    assert "more than 65536 bytes" in error["message"]


@pytest.mark.parametrize("sent", [b"", b"GET", post()[:40], post() + b"POST /v1/p"])
def test_a_head_that_never_comes_ends_the_connection(
    server: Address, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("serving.wire.HEAD_WITHIN_S", 0.1)
    with socket.create_connection(server, timeout=WITHIN_S) as opened:
        opened.sendall(sent)
        assert STATUS.findall(b"".join(iter(lambda: opened.recv(65_536), b""))) in ([], [b"200"])


def test_the_time_of_a_head_is_no_time_of_the_answer(
    server: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.wire.HEAD_WITHIN_S", 0.2)
    with socket.create_connection(server, timeout=WITHIN_S) as opened:
        told = b""
        for turn in range(3):
            opened.sendall(post())
            while len(STATUS.findall(told)) <= turn:
                some = opened.recv(65_536)
                assert some, "the connection was closed"
                told += some
            time.sleep(0.3)


def test_a_body_that_never_comes_ends_the_request_and_the_connection(
    server: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.gate.BODY_WITHIN_S", 0.1)
    with socket.create_connection(server, timeout=WITHIN_S) as opened:
        opened.sendall(post(length=b"500"))
        told = b"".join(iter(lambda: opened.recv(65_536), b""))
    assert STATUS.findall(told) == [b"408"]
    assert b"the body did not come within 0.1 s" in told
