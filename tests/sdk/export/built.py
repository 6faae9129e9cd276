"""Pumps from settings, and the TLS of receivers."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sdk.export.receivers import encode

from gnomon.config.export import ExportSettings
from gnomon.export.destinations import pumps
from gnomon.export.outlet import Outlet, Signal
from gnomon.export.pump import Pump

TLS = Path(__file__).parents[2] / "cases" / "tls"
CERTIFICATE, KEY = str(TLS / "cert.pem"), str(TLS / "key.pem")


def build(
    handed: Callable[[Signal, bytes], object] = lambda *_: None, **settings: Any
) -> tuple[list[Pump], dict[Signal, Outlet]]:
    """Pumps, and the outlets they empty."""
    outlets = {signal: Outlet(signal) for signal in Signal}
    return pumps(ExportSettings(**settings), outlets, encode, handed), outlets


def context(certificate: str = CERTIFICATE, *, asks: bool = False) -> ssl.SSLContext:
    """A receiver's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, KEY)
    if asks:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(CERTIFICATE)
    return made
