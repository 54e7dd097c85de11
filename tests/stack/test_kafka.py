"""Kafka's storage is made once, whatever became of who began to."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from settings import Settings, load_settings
from stack import kafka
from stack.layout import ROOT, Layout

BEGIN = """
import sys
from settings import Settings
from stack import kafka
from stack.layout import Layout
settings = Settings(data_dir=sys.argv[1], cache_dir=sys.argv[2])
kafka.part(settings, Layout.of(settings)).prepare()
"""


def test_storage_that_a_killed_process_had_begun_to_make_is_waited_for(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cache_dir=load_settings().cache_dir)
    places = (str(settings.data_dir), str(settings.cache_dir))
    begun = subprocess.Popen([sys.executable, "-c", BEGIN, *places], cwd=ROOT)
    process = psutil.Process(begun.pid)
    until = time.monotonic() + 30
    while not (children := process.children()):
        assert time.monotonic() < until, begun.poll()
        time.sleep(0.005)
    begun.kill()
    begun.wait()
    assert children[0].is_running()
    kafka.part(settings, Layout.of(settings)).prepare()
    assert (tmp_path / "kafka" / "log" / "meta.properties").exists()
