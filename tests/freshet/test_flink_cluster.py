"""Against a small HTTP server that answers as Flink 2.3 does; e2e tests ask the real one."""

import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from freshet.flink_cluster import ClusterAway, FlinkCluster, SavepointRequest
from stack.part import StackError

Answers = dict[str, Any]


def overview(*jobs: tuple[str, str, int, int]) -> Answers:
    """Jobs by id, state, start and running tasks of two, all of one name."""
    found = [
        {
            "jid": jid,
            "name": "user_state",
            "state": state,
            "start-time": start,
            "tasks": {"total": 2, "running": running},
        }
        for jid, state, start, running in jobs
    ]
    return {"/jobs/overview": {"jobs": found}}


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], FlinkCluster]]:
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> FlinkCluster:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = answers.get(self.path)
                body = json.dumps(answer or {"errors": ["not found"]}).encode()
                self.send_response(answers.get("status", 200) if answer is not None else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PATCH = do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.05,)).start()
        servers.append(server)
        return FlinkCluster(f"127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_active_job_is_found_among_older_ones(
    serve: Callable[[Answers], FlinkCluster],
) -> None:
    cluster = serve(
        overview(("a", "CANCELED", 1, 0), ("b", "RUNNING", 3, 2), ("c", "FAILED", 2, 0))
    )
    job = cluster.active("user_state")
    assert job is not None
    assert (job.job_id, job.is_running) == ("b", True)
    assert cluster.active("item_state") is None
    assert [one.job_id for one in cluster.jobs()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("state", "running", "expected"),
    [
        ("RUNNING", 2, (True, True)),
        ("RUNNING", 1, (True, False)),
        ("RESTARTING", 0, (True, False)),
        ("INITIALIZING", 0, (True, False)),
        ("FAILED", 0, (False, False)),
    ],
)
def test_a_job_runs_when_all_its_tasks_do(
    serve: Callable[[Answers], FlinkCluster], state: str, running: int, expected: tuple[bool, bool]
) -> None:
    (job,) = serve(overview(("a", state, 1, running))).jobs()
    assert (job.is_active, job.is_running) == expected


def test_where_checkpoints_are(serve: Callable[[Answers], FlinkCluster]) -> None:
    config = [{"key": "execution.checkpointing.dir", "value": "file:/c"}, {"key": "x", "value": ""}]
    assert serve({"/jobmanager/config": config}).checkpoint_directory() == "file:/c"
    assert serve({"/jobmanager/config": [{"key": "x", "value": ""}]}).checkpoint_directory() is None


def test_a_failure_is_told_without_its_frames(serve: Callable[[Answers], FlinkCluster]) -> None:
    trace = "java.lang.Exception: top\n\tat a.b(C.java)\nCaused by: KeyError: 'x'\n\tat d.e(F.java)"
    history = {"exceptionHistory": {"entries": [{"stacktrace": trace}, {"stacktrace": "older"}]}}
    cluster = serve({"/jobs/j/exceptions": history})
    assert cluster.failure("j") == "java.lang.Exception: top\nCaused by: KeyError: 'x'"


def test_no_failure_is_nothing(serve: Callable[[Answers], FlinkCluster]) -> None:
    cluster = serve({"/jobs/j/exceptions": {"exceptionHistory": {"entries": []}}})
    assert cluster.failure("j") == ""


def test_a_cluster_that_is_away_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StackError, match=rf"127.0.0.1:{port} .*freshet stack up flink"):
        FlinkCluster(f"127.0.0.1:{port}").jobs()


def test_a_refusal_is_told_as_it_was_said(serve: Callable[[Answers], FlinkCluster]) -> None:
    with pytest.raises(
        StackError, match=r"answered 404 to PATCH /jobs/j\?mode=cancel: .*not found"
    ):
        serve({}).cancel("j")


def test_a_cluster_without_a_leader_counts_as_away(
    serve: Callable[[Answers], FlinkCluster],
) -> None:
    cluster = serve({"/jobs/overview": {"errors": ["no leader"]}, "status": 503})
    with pytest.raises(ClusterAway, match=r"answered 503 .*no leader"):
        cluster.jobs()


def test_where_savepoints_are(serve: Callable[[Answers], FlinkCluster]) -> None:
    config = [{"key": "execution.checkpointing.savepoint-dir", "value": "file:/s"}]
    assert serve({"/jobmanager/config": config}).savepoint_directory() == "file:/s"


def test_savepoints_are_asked_for(serve: Callable[[Answers], FlinkCluster]) -> None:
    cluster = serve(
        {"/jobs/j/savepoints": {"request-id": "r"}, "/jobs/j/stop": {"request-id": "s"}}
    )
    assert cluster.start_savepoint("j", "file:/s") == "r"
    assert cluster.stop("j", None) == "s"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": {"id": "IN_PROGRESS"}}, SavepointRequest(done=False)),
        (
            {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s/1"}},
            SavepointRequest(done=True, path="file:/s/1"),
        ),
        (
            {
                "status": {"id": "COMPLETED"},
                "operation": {"failure-cause": {"stack-trace": "E: no\n\tat a.b(C.java)"}},
            },
            SavepointRequest(done=True, failure="E: no"),
        ),
    ],
)
def test_what_became_of_a_savepoint(
    serve: Callable[[Answers], FlinkCluster], told: Answers, expected: SavepointRequest
) -> None:
    assert serve({"/jobs/j/savepoints/r": told}).savepoint("j", "r") == expected


def checkpoint(number: int, *, status: str, is_savepoint: bool) -> Answers:
    return {
        "id": number,
        "status": status,
        "is_savepoint": is_savepoint,
        "trigger_timestamp": 5,
        "end_to_end_duration": 9,
        "state_size": 70,
        "num_subtasks": 4,
        "num_acknowledged_subtasks": 1,
    }


def test_checkpoints_and_savepoints_are_told_apart(
    serve: Callable[[Answers], FlinkCluster],
) -> None:
    complete = checkpoint(2, status="COMPLETED", is_savepoint=False) | {"external_path": "file:/c"}
    history = [
        checkpoint(4, status="IN_PROGRESS", is_savepoint=False),
        checkpoint(3, status="IN_PROGRESS", is_savepoint=True),
    ]
    cluster = serve(
        {"/jobs/j/checkpoints": {"latest": {"completed": complete}, "history": history}}
    )
    last, under_way = cluster.last_checkpoint("j"), cluster.savepoint_under_way("j")
    assert last is not None
    assert (last.number, last.path, last.duration_ms) == (2, "file:/c", 9)
    assert under_way is not None
    assert (under_way.number, under_way.acknowledged, under_way.tasks) == (3, 1, 4)
    none = serve({"/jobs/j/checkpoints": {"latest": {"completed": None}, "history": []}})
    assert (none.last_checkpoint("j"), none.savepoint_under_way("j")) == (None, None)


def test_measures_are_asked_for_by_name(serve: Callable[[Answers], FlinkCluster]) -> None:
    page = "/jobs/j/vertices/v/subtasks/metrics"
    cluster = serve(
        {
            "/jobs/j": {"vertices": [{"id": "v"}, {"id": "w"}]},
            page: [{"id": "x"}, {"id": "y"}],
            f"{page}?get=x%2Cy&agg=sum%2Cmax": [{"id": "x", "sum": 3.0, "max": 2.0}],
        }
    )
    assert cluster.vertices("j") == ["v", "w"]
    assert cluster.metric_names("j", "v") == ["x", "y"]
    assert cluster.metrics("j", "v", ["x", "y"]) == {"x": {"sum": 3.0, "max": 2.0}}
    assert cluster.metrics("j", "v", []) == {}
