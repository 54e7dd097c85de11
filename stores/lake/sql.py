"""Answers SQL: ClickHouse as a library on the files of a lake, or a ClickHouse server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from stores.errors import StoreUnavailable
from stores.lake.errors import LakeError, StatementError
from stores.lake.locks import reading
from stores.lake.statements import require_reading
from stores.lake.views import is_empty, views

STORE = "ClickHouse"
TABLE, JSON_ROWS, CSV = "PrettyCompactMonoBlock", "JSONEachRow", "CSVWithNames"
# Servers of any age know these; one that they don't know they refuse.
_SETTINGS = {
    "output_format_json_quote_64bit_integers": "0",
    "output_format_pretty_color": "0",
}
_PRETTY = {
    "output_format_pretty_row_numbers": "0",
    "output_format_pretty_single_large_number_tip_threshold": "0",
}
_NOISE = re.compile(r"^(Code: \d+[.,] )?(e\.displayText\(\) = )?(DB::Exception: )?")
_VERSION = re.compile(r"\s*\(version [^()]*(\([^()]*\))?\)$")


class Answering(Protocol):
    """Who answers SQL."""

    def ask(self, sql: str, form: str) -> str:
        """The answer in a form; `StatementError` where the statement is wrong."""
        ...


class LocalSql:
    """ClickHouse inside this process, reading the files of a lake."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def ask(self, sql: str, form: str) -> str:
        """The answer in a form."""
        require_reading(sql)
        try:
            return _whole(str(self._session.query(sql, form)), form)
        except RuntimeError as error:
            raise StatementError(_telling(str(error))) from error


class ServerSql:
    """A ClickHouse server, by its HTTP interface."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LakeError(
                "lake.clickhouse is no address of ClickHouse's HTTP interface; "
                "it reads http://user:password@host:8123/database"
            )
        port = parts.port or (8443 if parts.scheme == "https" else 8123)
        self._address = f"{parts.scheme}://{parts.hostname}:{port}/"
        self._database = parts.path.strip("/")
        self._headers = {
            "X-ClickHouse-User": unquote(parts.username or "default"),
            "X-ClickHouse-Key": unquote(parts.password or ""),
        }
        self._timeout_s = timeout_s

    def ask(self, sql: str, form: str, content: bytes | None = None) -> str:
        """The answer in a form; with `content`, the statement takes that in."""
        # Only then does the status say whether all went well.
        parameters = {"default_format": form, "wait_end_of_query": "1", **_SETTINGS}
        if self._database:
            parameters["database"] = self._database
        if content is None:
            require_reading(sql)
            parameters["readonly"] = "2"
        else:
            parameters["query"] = sql
        try:
            answer = httpx.post(
                self._address,
                params=parameters,
                headers=self._headers,
                content=sql.encode() if content is None else content,
                timeout=self._timeout_s,
            )
        except httpx.HTTPError as error:
            raise StoreUnavailable(
                STORE,
                f"{self._address}: {error or type(error).__name__}; is lake.clickhouse right?",
            ) from error
        if answer.is_error:
            raise StatementError(_telling(answer.text))
        return _whole(answer.text, form)


@contextmanager
def answering(lake: Path, *, server: str, timeout_s: float) -> Iterator[Answering]:
    """The ClickHouse server of this URL, or without one ClickHouse as a library on the files."""
    if server:
        yield ServerSql(server, timeout_s=timeout_s)
        return
    with local_sql(lake) as local:
        yield local


@contextmanager
def local_sql(lake: Path) -> Iterator[LocalSql]:
    """Views over the files of a lake; inside, none of them is deleted."""
    try:
        from chdb.session import Session
    except ImportError as error:
        raise LakeError(
            "ClickHouse is not installed here; run `make setup`, `pip install 'freshet[lake]'`, "
            "or name a server in lake.clickhouse"
        ) from error
    with reading(lake):
        if is_empty(lake):
            raise LakeError(
                f"the lake at {lake} is empty; the job interaction_lake fills it with every "
                "checkpoint (`freshet job list` says whether it runs)"
            )
        open_session: Any = Session
        session = open_session()
        try:
            for statement in ("CREATE DATABASE lake", "USE lake", *views(lake), *_read_only()):
                session.query(statement)
            yield LocalSql(session)
        finally:
            session.close()


def _read_only() -> Iterator[str]:
    yield from (f"SET {name} = {value}" for name, value in (_SETTINGS | _PRETTY).items())
    yield "SET readonly = 2"


def _whole(answer: str, form: str) -> str:
    """Rows of JSON, one a line, as one list."""
    if form != JSON_ROWS:
        return answer
    return "[" + ",\n".join(answer.splitlines()) + "]\n"


def _telling(said: str) -> str:
    """What ClickHouse says was wrong, without code and version."""
    return _VERSION.sub("", _NOISE.sub("", said.strip())).strip()
