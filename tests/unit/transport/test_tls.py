"""TLS settings."""

import pathlib
import ssl

import pytest

from gnomon_server.errors import InvalidInput
from gnomon_server.transport.tls import TlsSettings, server_context

CASES = pathlib.Path(__file__).parents[2] / "cases" / "tls"
CERT, KEY = CASES / "cert.pem", CASES / "key.pem"


def test_a_context_starts_at_tls_1_2() -> None:
    """Without a client authority nobody is asked for a certificate."""
    context = server_context(TlsSettings(cert=CERT, key=KEY))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_a_client_authority_demands_certificates() -> None:
    """Mutual TLS."""
    assert server_context(TlsSettings(cert=CERT, key=KEY, client_ca=CERT)).verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("key", "files"),
    [
        ("tls.cert", {"cert": CASES / "absent.pem"}),
        ("tls.cert", {"cert": CASES / "README.md"}),
        ("tls.key", {"key": CASES / "absent.pem"}),
        ("tls.key", {"key": CASES / "other_key.pem"}),
        ("tls.client_ca", {"client_ca": CASES / "README.md"}),
        ("tls.client_ca", {"client_ca": KEY}),
    ],
)
def test_an_unusable_file_is_named_by_its_setting(key: str, files: dict[str, pathlib.Path]) -> None:
    """The letter says which of the three settings to mend."""
    with pytest.raises(InvalidInput) as refusal:
        server_context(TlsSettings(**{"cert": CERT, "key": KEY, **files}))
    assert (refusal.value.code, refusal.value.where) == ("tls_unusable", key)
