"""The HTTP proxy that the environment names: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, as the standard library reads them."""

import base64
import logging
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

log = logging.getLogger("gnomon.export")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is spoken to in the clear. What lets us in is neither shown nor logged.

    Attributes:
        host: its name or address.
        port: its port.
        headers: for it alone: `Proxy-Authorization`, where its URL names a user.
    """

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str) -> "Proxy | None":
        """Read a URL; None: it is not `http://[USER:PASSWORD@]HOST[:PORT]`, and nothing of it may be repeated."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = 80 if parts.port is None else parts.port
            # As for receivers: the module that the socket needs is imported now, and not in the export thread.
            (parts.hostname or "").encode("idna")
        except ValueError:
            return None
        # More than host and port: a password that was not encoded, cut in two; its first half would pass for a port.
        more = parts.path not in {"", "/"} or parts.query or parts.fragment
        if parts.scheme != "http" or not parts.hostname or not port or more:
            return None
        if not parts.username:
            return cls(parts.hostname, port)
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        return cls(parts.hostname, port, {"Proxy-Authorization": f"Basic {base64.b64encode(words).decode()}"})

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def proxy_for(host: str, port: int, *, secure: bool) -> Proxy | None:
    """The proxy on the way to a receiver; None: it is spoken to directly.

    One that we cannot use is warned of and passed over: other libraries of the process may know what to do with it.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - 2 ms; gRPC does without

    scheme = "https" if secure else "http"
    url = getproxies().get(scheme)
    shown = f"[{host}]" if ":" in host else host
    if not url or proxy_bypass(host) or proxy_bypass(f"{shown}:{port}"):
        return None
    proxy = Proxy.of(url)
    if proxy is None:
        log.warning(
            "%s_PROXY is passed over: only http://USER:PASSWORD@HOST:PORT is known, with what is special "
            "percent-encoded. Telemetry is sent to %s directly",
            scheme.upper(), shown,
        )  # fmt: skip
    return proxy
