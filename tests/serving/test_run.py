"""How the service starts: what it is told of TLS, and where it refuses."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serving.run import run
from serving.tls import tls_files
from settings import Settings, SettingsError
from settings.model import ServingSettings


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(private_pem(key, serialization.NoEncryption()))
    return cert_file, key_file


def private_pem(key: Any, encryption: serialization.KeySerializationEncryption) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return pem


def serving(cert: object = "", key: object = "", **others: Any) -> ServingSettings:
    return ServingSettings(tls_cert=str(cert), tls_key=str(key), **others)


@contextmanager
def listening(**tls: Any) -> Iterator[int]:
    """A server with these settings of TLS, on a port of its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = uvicorn.Config(app, lifespan="off", log_config=None, **tls)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield taken.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_without_certificate_there_is_no_tls() -> None:
    assert tls_files(serving()) is None


def test_a_client_that_trusts_the_certificate_is_answered(pair: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    files = tls_files(serving(*pair))
    assert files is not None
    with listening(ssl_certfile=files[0], ssl_keyfile=files[1]) as port:
        assert httpx.get(f"https://127.0.0.1:{port}", verify=trusting).status_code == 204
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}")
        with pytest.raises(httpx.ConnectError, match="verify failed"):
            httpx.get(f"https://127.0.0.1:{port}")


def test_one_without_the_other_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(SettingsError, match=r"serving\.tls_key is empty, but serving\.tls_cert"):
        tls_files(serving(cert=pair[0]))
    with pytest.raises(SettingsError, match=r"serving\.tls_cert is empty, but serving\.tls_key"):
        tls_files(serving(key=pair[1]))


def test_files_that_dont_do_are_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = pair
    with pytest.raises(SettingsError, match=r"serving\.tls_cert = '/none': can't be read"):
        tls_files(serving("/none", key))
    with pytest.raises(SettingsError, match=r"serving\.tls_key = '/none': can't be read"):
        tls_files(serving(cert, "/none"))
    other = tmp_path / "other.pem"
    other.write_bytes(
        private_pem(ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption())
    )
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        private_pem(
            ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"x")
        )
    )
    for wrong in ((cert, cert), (key, cert), (cert, other), (cert, locked)):
        with pytest.raises(SettingsError, match="no certificate in PEM and its private key"):
            tls_files(serving(*wrong))


def test_the_server_is_started_with_them(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr("serving.run.uvicorn.run", lambda _, **told: started.append(told))
    run(Settings(serving=serving(*pair)))
    assert started[0]["ssl_certfile"] == str(pair[0])
    assert started[0]["ssl_keyfile"] == str(pair[1])
    assert started[0]["access_log"] is False


def test_an_open_service_is_not_started_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("serving.run.uvicorn.run", lambda app, **_: started.append(app))
    with pytest.raises(SettingsError, match="others can reach it"):
        run(Settings(serving=serving(host="0.0.0.0")))
    assert not started
    run(Settings(serving=serving(host="0.0.0.0", allow_open=True)))
    assert started
