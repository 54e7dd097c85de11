import pytest

from serving.deadline import Deadline


def test_a_stage_gets_its_share_its_limit_or_what_is_left() -> None:
    now_s = 10.0
    deadline = Deadline(1.0, clock=lambda: now_s)
    assert deadline.of_stage("rank", at_most_s=9.0) == pytest.approx(0.3)
    assert deadline.of_stage("rank", at_most_s=0.1) == pytest.approx(0.1)
    now_s = 10.9
    assert deadline.elapsed_s() == pytest.approx(0.9)
    assert deadline.left_s() == pytest.approx(0.05)
    assert deadline.of_stage("rank", at_most_s=9.0) == pytest.approx(0.05)
    now_s = 11.0
    assert deadline.of_stage("rank", at_most_s=9.0) < 0
