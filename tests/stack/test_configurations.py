"""What is written for each server before it starts."""

import lzma
import re
import shutil
from pathlib import Path

import pytest

from settings import Settings
from stack import flink, kafka, milvus, packages, triton
from stack.layout import ROOT, Layout
from stack.part import StackError

SHIPPED = "env:\n  java:\n    opts:\n      all: --add-exports=java.rmi/sun=ALL-UNNAMED --more\n"
SETTINGS = Settings.model_validate(
    {
        "kafka": {"port": 1001, "controller_port": 1002},
        "flink": {"rest_port": 2001, "rpc_port": 2002, "metrics_port": 2010, "taskmanagers": 3},
        "milvus": {"port": 3001, "inner_port": 3010},
        "triton": {"grpc_port": 4001, "http_port": 4002, "metrics_port": 4003},
    }
)


def flat(text: str) -> dict[str, str]:
    """`key: value` lines, each key once."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.split(": ", 1) for line in lines]
    assert len({key for key, _ in pairs}) == len(pairs), "a key stands twice"
    return dict(pair for pair in pairs)


def flink_configuration(layout: Layout) -> dict[str, str]:
    engine = (flink.ENGINE_KEYS / "config.yaml").read_text()
    return flat(flink.configuration(SETTINGS, layout, engine, SHIPPED))


def test_flink_gets_engine_keys_and_places(layout: Layout) -> None:
    found = flink_configuration(layout)
    assert found["state.backend.type"] == "rocksdb"
    assert found["python.execution-mode"] == "thread"
    assert found["rest.port"] == "2001"
    assert found["jobmanager.rpc.port"] == "2002"
    assert found["execution.checkpointing.dir"] == f"file://{layout.data}/flink/checkpoints"
    assert found["env.java.opts.all"] == "--add-exports=java.rmi/sun=ALL-UNNAMED --more"


def test_the_engine_keys_hold_no_place_and_no_port() -> None:
    engine = flat((flink.ENGINE_KEYS / "config.yaml").read_text())
    assert not [key for key in engine if re.search(r"\bport\b|\bdirs?$|address|\bhost\b", key)]


def test_flink_without_its_module_flags_is_refused(layout: Layout) -> None:
    with pytest.raises(StackError, match=r"env\.java\.opts\.all; install the version that"):
        flink.configuration(SETTINGS, layout, "", "env: {}\n")


def test_flink_composes_twice_and_links_connectors_and_pyflink(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = layout.cache / "flink" / "flink-sql-connector-kafka-1.jar"
    connector.parent.mkdir(parents=True)
    connector.touch()
    monkeypatch.setattr(flink, "fetch_jars", lambda cache: cache)
    flink.compose(SETTINGS, layout)
    flink.compose(SETTINGS, layout)
    names = {jar.name for jar in (layout.data / "flink" / "lib").iterdir()}
    assert connector.name in names
    assert any(name.startswith("flink-dist") for name in names)
    assert any(name.startswith("flink-python") for name in names)


def test_flink_part_has_a_process_and_a_metrics_port_for_each_taskmanager(layout: Layout) -> None:
    part = flink.part(SETTINGS, layout)
    programs = part.programs()
    assert [program.name for program in programs] == list(part.program_names)
    assert all(program.restart for program in programs)
    ports = [arg for program in programs for arg in program.argv if "prom.port" in arg]
    assert ports == [f"metrics.reporter.prom.port={port}" for port in (2010, 2011, 2012, 2013)]
    assert set(part.ports.values()) == {2001, 2002, 2010, 2011, 2012, 2013}


def test_the_flink_client_finds_configuration_jars_and_our_packages(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"data_dir": tmp_path})
    environ = flink.client_environment(settings)
    assert environ["FLINK_CONF_DIR"] == str(tmp_path / "flink" / "conf")
    assert environ["FLINK_LIB_DIR"] == str(tmp_path / "flink" / "lib")
    assert str(ROOT) in environ["PYTHONPATH"].split(":")
    assert Path(flink.client_command("run")[0]).exists()


def test_kafka_properties(layout: Layout) -> None:
    text = kafka.properties(SETTINGS, layout)
    assert "listeners=PLAINTEXT://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002\n" in text
    assert "controller.quorum.bootstrap.servers=127.0.0.1:1002\n" in text
    assert f"log.dirs={layout.data}/kafka/log\n" in text


@pytest.fixture
def milvus_configs(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(milvus, "unpack", lambda cache: cache)
    milvus.part(SETTINGS, layout).prepare()
    return layout.data / "milvus" / "configs"


def test_milvus_has_its_ports_and_nothing_is_left_open(milvus_configs: Path) -> None:
    text = (milvus_configs / "milvus.yaml").read_text()
    assert "{{" not in text
    assert "  port: 3001\n" in text
    ports = [str(3010 + milvus.INNER_SERVICES.index(name)) for name in milvus.INNER_SERVICES]
    outside_this_file = {"metrics_port", "etcd_peer_port"}
    for name, port in zip(milvus.INNER_SERVICES, ports, strict=True):
        assert (port in text) is (name not in outside_this_file), name


def test_the_etcd_inside_milvus_has_ports_of_its_own(milvus_configs: Path) -> None:
    found = flat((milvus_configs / "etcd.yaml").read_text())
    assert found["listen-client-urls"] == "http://127.0.0.1:3011"
    assert found["listen-peer-urls"] == "http://127.0.0.1:3020"


def test_triton_gets_its_stub_beside_the_backend(layout: Layout) -> None:
    triton.part(SETTINGS, layout).prepare()
    backend = layout.data / "triton" / "backends" / "python"
    assert (backend / "libtriton_python.so").exists()
    assert (backend / "triton_python_backend_stub").stat().st_mode & 0o111


def test_a_package_that_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(StackError, match=r"package milvvus isn't installed .*run `make setup`"):
        packages.package_directory("milvvus", distribution="milvvus")


def test_milvus_is_unpacked_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "package" / "bin"
    packed.mkdir(parents=True)
    (packed / "milvus.lzma").write_bytes(lzma.compress(b"#!/bin/sh\n"))
    monkeypatch.setattr(milvus, "_package", lambda: packed.parent)
    binaries = milvus.unpack(tmp_path / "cache")
    assert (binaries / "milvus").read_bytes() == b"#!/bin/sh\n"
    assert (binaries / "milvus").stat().st_mode & 0o100
    shutil.rmtree(packed)
    assert milvus.unpack(tmp_path / "cache") == binaries
