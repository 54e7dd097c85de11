import json
import logging
from collections.abc import Iterator

import pytest

from freshet.logs import configure


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_json_is_an_object_a_line_faults_included(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")
    log = logging.getLogger("some.module")
    log.info("%d of %s", 3, "ü")
    try:
        int("wrong")
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["logger"]) == ("3 of ü", "info", "some.module")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


def test_text_is_for_people_and_clients_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text")
    logging.getLogger("some.module").warning("look")
    logging.getLogger("kafka.cluster").error("a retry")
    logging.getLogger("httpx").info("a retry of every request")
    said = capsys.readouterr().err
    assert "look" in said
    assert "some.module" in said
    assert "a retry" not in said


def test_what_is_private_is_not_told_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", private=True)
    try:
        try:
            int("a secret")
        except ValueError as error:
            raise KeyError("another") from error
    except KeyError:
        logging.getLogger("some.module").exception("failed")
    told = json.loads(capsys.readouterr().err)["exception"]
    assert "secret" not in told.replace('int("a secret")', "")
    places = [line for line in told.splitlines() if not line.startswith(" ")]
    head = "Traceback (most recent call last):"
    assert places == [head, "ValueError", "which led to", head, "KeyError"]
    assert "test_logs.py" in told


def test_the_level_is_the_least_that_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", level="warning")
    log = logging.getLogger("some.module")
    log.info("a detail")
    log.warning("look")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "look"
