"""SQL about the lake, by ClickHouse as a library, and what is said to a server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import pytest

from schemas.lake import EVENTS, IMPRESSIONS, LAKE_TABLES
from stores.errors import StoreUnavailable
from stores.lake.compaction import Compaction
from stores.lake.errors import LakeError, StatementError
from stores.lake.reading import Lake
from stores.lake.sql import CSV, JSON_ROWS, TABLE, ServerSql, local_sql
from tests.stores.lake.lakes import HOUR, event, full_event, hours_later, impression, message, write

SPECIFIED = {
    "event_id": "String",
    "user_id": "String",
    "item_id": "String",
    "event_type": "Enum8",
    "event_timestamp": "DateTime64(3, 'UTC')",
    "duration_seconds": "UInt32",
    "completion_rate": "Float32",
    "session_id": "String",
    "device_type": "LowCardinality(String)",
    "platform": "LowCardinality(String)",
    "country_code": "LowCardinality(String)",
    "recommendation_id": "String",
    "position": "UInt16",
    "model_version": "String",
    "experiment_id": "String",
    "variant": "String",
    "event_date": "Date",
}


def rows(lake: Path, sql: str) -> list[dict[str, object]]:
    with local_sql(lake) as local:
        found: list[dict[str, object]] = json.loads(local.ask(sql, JSON_ROWS))
    return found


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two events, one of them twice, and an erasure."""
    bare = event("bare", "u2", item_id=None, at_ms=HOUR + 1_500)
    erase = event("gone", "u3", event_type="erase", item_id=None)
    for offset, one in enumerate((full_event(), bare, full_event(), erase)):
        write(tmp_path, [message(EVENTS, one, offset, log_time_ms=HOUR + offset)])
    return tmp_path


def test_interactions_has_the_columns_of_the_specification(lake: Path) -> None:
    described = rows(lake, "DESCRIBE interactions")
    found = {str(one["name"]): str(one["type"]) for one in described}
    found["event_type"] = found["event_type"].partition("(")[0]
    assert found == SPECIFIED


def test_an_interaction_says_what_the_event_said(lake: Path) -> None:
    (found,) = rows(lake, "SELECT * FROM interactions WHERE event_id = 'full'")
    assert found == {
        "event_id": "full",
        "user_id": "u-full",
        "item_id": "i1",
        "event_type": "view",
        "event_timestamp": "2026-09-21 14:00:00.000",
        "duration_seconds": 12,
        "completion_rate": 0.5,
        "session_id": "s1",
        "device_type": "mobile",
        "platform": "ios",
        "country_code": "DE",
        "recommendation_id": "r1",
        "position": 3,
        "model_version": "m1",
        "experiment_id": "x1",
        "variant": "b",
        "event_date": "2026-09-21",
    }


def test_what_an_event_left_open_is_a_default(lake: Path) -> None:
    (found,) = rows(lake, "SELECT * FROM interactions WHERE event_id = 'bare'")
    assert found["event_timestamp"] == "2026-09-21 14:00:01.500"
    assert (found["item_id"], found["position"], found["duration_seconds"]) == ("", 0, 0)


def test_an_event_counts_once_and_an_erasure_is_none(lake: Path) -> None:
    found = rows(lake, "SELECT event_id FROM interactions ORDER BY event_id")
    assert [one["event_id"] for one in found] == ["bare", "full"]
    assert rows(lake, "SELECT count() AS n FROM events") == [{"n": 4}]


def test_every_table_can_be_asked_with_rows_or_without(lake: Path) -> None:
    write(lake, [message(IMPRESSIONS, impression("r1", "u1"), 0)])
    counts = {
        table.name: rows(lake, f"SELECT count() AS n FROM {table.name}")[0]["n"]
        for table in LAKE_TABLES
    }
    assert counts == {"events": 4, "impressions": 1, "rewards": 0, "snapshots": 0}
    shown = rows(lake, "SELECT arrayJoin(items).item_id AS item_id FROM impressions")
    assert [one["item_id"] for one in shown] == ["i1", "i2"]


def test_replaced_files_are_not_counted_while_they_wait(lake: Path) -> None:
    with Lake(lake).reading():
        Compaction(lake, hours_later(3), patience_s=0).run()
        assert len(list(lake.rglob("*.parquet"))) == 5
        assert rows(lake, "SELECT count() AS n FROM events") == [{"n": 3}]


def test_drafts_are_not_counted(lake: Path) -> None:
    (path, *_) = lake.rglob("part-*.parquet")
    path.with_name(".whole-x.parquet").write_bytes(path.read_bytes())
    path.with_name(".part-x.parquet.inprogress.y").write_bytes(path.read_bytes())
    assert rows(lake, "SELECT count() AS n FROM events") == [{"n": 4}]


def test_a_file_from_before_a_field_reads_as_nothing_said(lake: Path) -> None:
    for path in lake.rglob("part-*.parquet"):
        pq.write_table(pq.read_table(path).drop(["country"]), path)
    assert rows(lake, "SELECT DISTINCT country_code AS c FROM interactions") == [{"c": ""}]


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (JSON_ROWS, '[{"n":9007199254740993}]\n'),
        (CSV, '"n"\n9007199254740993\n'),
        (TABLE, "┌────────────────n─┐\n│ 9007199254740993 │\n└──────────────────┘\n"),
    ],
    ids=["json", "csv", "table"],
)
def test_answers_have_the_wanted_form(lake: Path, form: str, answer: str) -> None:
    with local_sql(lake) as local:
        assert local.ask("SELECT toInt64(9007199254740993) AS n", form) == answer


def test_a_wrong_statement_is_told_as_clickhouse_tells_it(lake: Path) -> None:
    with local_sql(lake) as local, pytest.raises(StatementError) as error:
        local.ask("SELECT nope FROM interactions", TABLE)
    assert str(error.value) == (
        "ClickHouse did not take the statement: Unknown expression identifier `nope` in scope "
        "SELECT nope FROM interactions. (UNKNOWN_IDENTIFIER)"
    )


def test_views_can_not_be_changed(lake: Path) -> None:
    with local_sql(lake) as local, pytest.raises(StatementError, match="it begins with DROP; only"):
        local.ask("DROP VIEW interactions", TABLE)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO FUNCTION file('{file}', 'CSV') SELECT 1", "it begins with INSERT; only"),
        ("/* */ insert into table function file('{file}', 'CSV') SELECT 1", "begins with INSERT"),
        ("WITH 1 AS a INSERT INTO FUNCTION file('{file}', 'CSV') SELECT a", "INSERT would write"),
        ("EXPLAIN PIPELINE INSERT INTO FUNCTION file('{file}', 'CSV') SELECT 1", "INSERT would"),
        ("SELECT 1 INTO\tOutfile '{file}'", "OUTFILE would write, and this only reads"),
        ("SELECT '\\'' INTO OUTFILE '{file}'", "OUTFILE would write"),
        ("SELECT 'it''s' INTO OUTFILE '{file}'", "OUTFILE would write"),
        ("SELECT $$'$$ INTO OUTFILE '{file}'", "OUTFILE would write"),
        ("SELECT 1 -- '\nINTO OUTFILE '{file}'", "OUTFILE would write"),
        ("SELECT /* ' */ 1 INTO OUTFILE '{file}'", "OUTFILE would write"),
        ("SELECT 1 AS a$$ INTO OUTFILE '{file}' -- $$", "OUTFILE would write"),
        ("SELECT 1; SELECT 2", "there is a ; in it; one statement at a time"),
        ("SET readonly = 0", "it begins with SET"),
        ("KILL QUERY WHERE 1", "it begins with KILL"),
        (" -- nothing", "it begins with nothing"),
    ],
)
def test_what_would_write_is_refused(lake: Path, statement: str, said: str) -> None:
    file = lake / "written.csv"
    with local_sql(lake) as local, pytest.raises(StatementError) as error:
        local.ask(statement.format(file=file), TABLE)
    assert (said in str(error.value), file.exists()) == (True, False)


@pytest.mark.parametrize(
    "statement",
    [
        "(SELECT 1) UNION ALL (SELECT 2);",
        "FROM events SELECT event_id",
        "select 'insert; into outfile' as `insert`, $a$ outfile; $a$, 2e3 -- ; insert\n ;",
        "EXPLAIN SELECT count() FROM interactions",
        "SHOW TABLES",
        'SELECT 1 AS "out;file" SETTINGS max_threads = 1',
    ],
)
def test_what_reads_is_answered(lake: Path, statement: str) -> None:
    with local_sql(lake) as local:
        assert local.ask(statement, TABLE)


def test_a_server_is_told_to_write_nothing() -> None:
    with server() as one:
        asking = ServerSql(f"http://127.0.0.1:{one.server_port}", timeout_s=5)
        asking.ask("SELECT 1", CSV)
        with pytest.raises(StatementError, match="it begins with INSERT"):
            asking.ask("INSERT INTO t VALUES (1)", CSV)
    ((parameters, _, _),) = one.asked
    assert parameters["readonly"] == ["2"]


def test_an_empty_lake_says_who_fills_it(tmp_path: Path) -> None:
    with (
        pytest.raises(LakeError, match="is empty; the job interaction_lake fills it"),
        local_sql(tmp_path),
    ):
        pass


def test_a_directory_that_clickhouse_would_read_as_a_pattern_is_refused(tmp_path: Path) -> None:
    lake = tmp_path / "a{b}"
    write(lake, [message(EVENTS, full_event(), 0)])
    with pytest.raises(LakeError, match="takes some of the letters"), local_sql(lake):
        pass


REFUSED = (
    b"Code: 60. DB::Exception: Table default.x does not exist. (UNKNOWN_TABLE) "
    b"(version 24.8.1.1 (official build))\n"
)


class Server(HTTPServer):
    """Answers as a ClickHouse server's HTTP interface would, and remembers what it was asked."""

    answer = (200, b"1\n")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[dict[str, list[str]], dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parameters = parse_qs(urlsplit(self.path).query)
        self.server.asked.append((parameters, dict(self.headers.items()), body))
        status, said = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield one
        finally:
            one.shutdown()
            thread.join()


def test_a_server_is_asked_in_its_database_as_its_user() -> None:
    with server() as one:
        url = f"http://ann:p%40ss@127.0.0.1:{one.server_port}/shop"
        assert ServerSql(url, timeout_s=5).ask("SELECT 1", CSV) == "1\n"
    ((parameters, headers, body),) = one.asked
    assert body == b"SELECT 1"
    assert (parameters["database"], parameters["default_format"]) == (["shop"], [CSV])
    assert (headers["X-ClickHouse-User"], headers["X-ClickHouse-Key"]) == ("ann", "p@ss")


def test_what_a_server_refuses_is_told() -> None:
    with server() as one:
        one.answer = (404, REFUSED)
        asking = ServerSql(f"http://127.0.0.1:{one.server_port}", timeout_s=5)
        with pytest.raises(StatementError) as error:
            asking.ask("SELECT * FROM x", CSV)
    assert str(error.value).endswith("Table default.x does not exist. (UNKNOWN_TABLE)")


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    asking = ServerSql("http://ann:secret@127.0.0.1:1/shop", timeout_s=5)
    with pytest.raises(StoreUnavailable, match=r"http://127.0.0.1:1/.*is lake.clickhouse right"):
        asking.ask("SELECT 1", CSV)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(LakeError, match="http://user:password@host:8123/database"):
        ServerSql("clickhouse:9000", timeout_s=5)


@pytest.mark.parametrize(
    "said",
    [
        b"Code: 47. DB::Exception: Unknown x. (UNKNOWN_IDENTIFIER) (version 26.5.1.1)",
        b"Code: 47, e.displayText() = DB::Exception: Unknown x. (UNKNOWN_IDENTIFIER)",
    ],
    ids=["today", "years ago"],
)
def test_servers_of_all_ages_are_told_alike(said: bytes) -> None:
    with server() as one:
        one.answer = (500, said)
        asking = ServerSql(f"http://127.0.0.1:{one.server_port}", timeout_s=5)
        with pytest.raises(StatementError, match=r"statement: Unknown x\. \(UNKNOWN_IDENTIFIER\)$"):
            asking.ask("SELECT x", CSV)


def test_rows_of_a_server_are_a_list_of_json() -> None:
    with server() as one:
        one.answer = (200, b'{"n":1}\n{"n":2}\n')
        asking = ServerSql(f"http://127.0.0.1:{one.server_port}", timeout_s=5)
        assert json.loads(asking.ask("SELECT n", JSON_ROWS)) == [{"n": 1}, {"n": 2}]
        one.answer = (200, b"")
        assert json.loads(asking.ask("SELECT n", JSON_ROWS)) == []
