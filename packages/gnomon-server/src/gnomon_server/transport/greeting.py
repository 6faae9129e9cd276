"""The TLS handshake of a connection as its own step, so that a failed one is noticed; asyncio drops it silently."""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from gnomon_server.errors import GnomonError, InvalidInput

# What OpenSSL calls a first record that is none: HTTP by its method, gRPC's preface by the version it has there.
_PLAIN = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"

OnStranger = Callable[[GnomonError, str, bytes], object]
"""Hears of a connection that is turned away: why, the peer's address, its first bytes where they were seen."""


class Greeting(asyncio.Protocol):
    """Shakes hands, then gives the connection to the protocol that `make` returns."""

    def __init__(
        self,
        context: ssl.SSLContext,
        deadline_s: float,
        make: Callable[[], asyncio.Protocol],
        on_stranger: OnStranger,
        underway: dict[asyncio.Task[None], None],
        most: int,
    ) -> None:
        self._context = context
        self._deadline_s = deadline_s
        self._make = make
        self._on_stranger = on_stranger
        self._underway = underway
        self._most = most
        self._early: list[bytes] = []
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio narrows it too
        """Begin, in the place of the oldest if too many shake hands: it is the slowest. Nothing is read before."""
        transport.pause_reading()
        if len(self._underway) >= self._most:
            oldest = next(iter(self._underway))
            oldest.cancel()
            del self._underway[oldest]
        task = asyncio.get_running_loop().create_task(self._greet(transport), name="tls handshake")
        self._underway[task] = None
        task.add_done_callback(partial(self._over, transport))

    def _over(self, transport: asyncio.Transport, greeting: asyncio.Task[None]) -> None:
        self._underway.pop(greeting, None)
        if greeting.cancelled():  # perhaps before its first step, and nothing would ever close it
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep what came with the last of the handshake."""
        self._early.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        """Between handshake and hand-over."""
        self._is_lost = True

    async def _greet(self, transport: asyncio.Transport) -> None:
        peer = (transport.get_extra_info("peername") or ("",))[0]
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, self, self._context, server_side=True, ssl_handshake_timeout=self._deadline_s
            )
        except ssl.SSLError as error:
            if failure := _failure(error):
                self._on_stranger(failure, str(peer), b"")
            return
        except (OSError, EOFError):
            return  # it left, or was too slow
        if secured is None or self._is_lost:
            return
        protocol = self._make()
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        for data in self._early:
            protocol.data_received(data)


def _failure(error: ssl.SSLError) -> GnomonError | None:
    reason = error.reason or ""
    if reason in _PLAIN:
        return InvalidInput("plain_on_tls_port", "this port speaks TLS", hint="write https:// in the endpoint")
    if reason == _NO_CERTIFICATE:
        return InvalidInput("tls_no_client_certificate", "a client certificate is demanded (tls.client_ca)")
    # An alert that the client sent: it does not like our certificate.
    return InvalidInput("tls_refused", reason.lower()) if "_ALERT_" in reason else None
