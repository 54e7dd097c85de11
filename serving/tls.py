"""The certificate that the service shows, if it shall."""

import ssl
from pathlib import Path

from settings import SettingsError
from settings.model import ServingSettings


def tls_files(serving: ServingSettings) -> tuple[str, str] | None:
    """The files with the certificate and its key, checked; None where TLS isn't wanted."""
    if not serving.tls_cert and not serving.tls_key:
        return None
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if not getattr(serving, name):
            raise SettingsError(
                f"serving.{name} is empty, but serving.{other} is set; TLS needs both, or neither"
            )
    cert, key = (str(Path(name).expanduser()) for name in (serving.tls_cert, serving.tls_key))
    _check(cert, key)
    return cert, key


def _check(cert: str, key: str) -> None:
    """Say at the start what is wrong with them, in words."""
    for name, file in (("tls_cert", cert), ("tls_key", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise SettingsError(f"serving.{name} = {file!r}: can't be read: {error}") from error
    try:
        # An encrypted key would ask for its password at the terminal.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(
            f"serving.tls_cert = {cert!r} and serving.tls_key = {key!r}: are no certificate in PEM "
            f"and its private key, without a password: {error}"
        ) from error
