from pathlib import Path

import pytest

from freshet.wanted_jobs import Busy, WantedJobs, Wish


def test_nothing_is_wanted_before_anything_was_submitted(tmp_path: Path) -> None:
    assert WantedJobs(tmp_path / "jobs", cluster="a:1").of("user_state") == Wish(cluster="a:1")
    assert not (tmp_path / "jobs").exists()


def test_a_wish_is_kept_for_its_own_cluster(tmp_path: Path) -> None:
    wish = Wish(cluster="a:1", wanted=True, since_ms=7, restore="s3://b/1", seen="s3://b/2")
    WantedJobs(tmp_path, cluster="a:1").keep("user_state", wish)
    assert WantedJobs(tmp_path, cluster="a:1").of("user_state") == wish
    assert not WantedJobs(tmp_path, cluster="b:1").of("user_state").wanted
    assert not WantedJobs(tmp_path, cluster="a:1").of("item_state").wanted


def test_one_at_a_time_works_on_a_job(tmp_path: Path) -> None:
    jobs = WantedJobs(tmp_path, cluster="a:1")
    with jobs.held("user_state"):
        with (
            pytest.raises(Busy, match="another command works on user_state"),
            jobs.held("user_state", wait=False),
        ):
            pass
        with jobs.held("item_state", wait=False):
            pass
    with jobs.held("user_state", wait=False):
        pass
