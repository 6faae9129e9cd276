"""TLS of a listener: three paths in, one `ssl.SSLContext` out."""

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gnomon_server.errors import InvalidInput


class TlsSettings(BaseModel):
    """Certificate and key of a listener; with `client_ca`, clients must show a certificate that it signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cert: Path
    """PEM: the server's certificate, followed by the intermediate ones."""
    key: Path
    """PEM: its private key, without a passphrase."""
    client_ca: Path | None = None
    """PEM: authorities whose client certificates are demanded (mutual TLS)."""


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """The context of a listener, TLS 1.2 and up.

    Raises:
        InvalidInput: `tls_unusable`, naming the key (`tls.cert`, `tls.key`, `tls.client_ca`) that is wrong.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for name, path in (("cert", tls.cert), ("key", tls.key), ("client_ca", tls.client_ca)):
        if path is not None:
            _readable(name, path)
    try:
        # The password callback keeps OpenSSL from asking for a passphrase on the terminal.
        context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise _unusable("key", tls.key, f"not the PEM key of the certificate {tls.cert} ({error})") from error
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise _unusable("client_ca", tls.client_ca, f"no PEM certificates ({error})") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _readable(name: str, path: Path) -> None:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unusable(name, path, f"cannot be read ({error.strerror})") from error
    if b"-----BEGIN " not in text:
        raise _unusable(name, path, "is not a PEM file")


def _unusable(name: str, path: Path, why: str) -> InvalidInput:
    return InvalidInput("tls_unusable", f"{path}: {why}", where=f"tls.{name}")
