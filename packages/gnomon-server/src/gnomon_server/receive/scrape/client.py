"""One request to a target: headers, credentials, deadline, and a body that may not be larger than allowed."""

import asyncio
import base64
import ssl
from dataclasses import dataclass

import aiohttp

from gnomon_server import __version__
from gnomon_server.decode.exposition.formats import accept
from gnomon_server.errors import DeadlineExceeded, InvalidInput, TooLarge, Unavailable
from gnomon_server.receive.scrape.settings import ScrapeConfig, TlsConfig
from gnomon_server.receive.scrape.targets import Target

_CHUNK_BYTES = 64 * 1024
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target answered, as it came over the wire."""

    body: bytes
    content_type: str
    encoding: str


class TargetClient:
    """Asks the targets of one job."""

    def __init__(self, session: aiohttp.ClientSession, config: ScrapeConfig) -> None:
        self._session = session
        self._config = config
        self._ssl = _context(config.tls_config, config.job_name)

    async def get(self, target: Target) -> Answer:
        """The answer. GnomonError says why there is none: deadline, connection, status, size."""
        try:
            async with asyncio.timeout(target.timeout_ms / 1000):
                return await self._get(target)
        except TimeoutError as error:
            words = f"no whole answer within {target.timeout_ms / 1000:g} s"
            raise DeadlineExceeded("scrape_timeout", words) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable("target_away", f"{type(error).__name__}: {error}"[:500]) from error

    async def _get(self, target: Target) -> Answer:
        config = self._config
        headers = {
            "Accept": accept(config.protocols),
            "Accept-Encoding": "gzip" if config.enable_compression else "identity",
            "User-Agent": f"gnomon/{__version__}",
            "X-Prometheus-Scrape-Timeout-Seconds": f"{target.timeout_ms / 1000:g}",
            **(await asyncio.to_thread(_credentials, config) if config.basic_auth or config.authorization else {}),
        }
        async with self._session.get(
            target.url,
            headers=headers,
            ssl=self._ssl,
            server_hostname=config.tls_config.server_name or None,
            allow_redirects=config.follow_redirects,
        ) as response:
            if response.status != _OK:
                words = f"server returned HTTP status {response.status} {response.reason or ''}".rstrip()
                raise Unavailable("target_status", words)
            return Answer(
                await _read(response, config.body_size_limit),
                response.headers.get("Content-Type", ""),
                response.headers.get("Content-Encoding", ""),
            )


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise TooLarge("body_too_large", f"the answer is larger than {limit} bytes")
    return bytes(body)


def _credentials(config: ScrapeConfig) -> dict[str, str]:
    """The Authorization header. Files are read each time: secrets are rotated."""
    try:
        if config.basic_auth:
            basic = config.basic_auth
            password = basic.password.get_secret_value()
            if basic.password_file:
                password = basic.password_file.read_text("utf-8").strip()
            encoded = base64.b64encode(f"{basic.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {encoded}"}
        if config.authorization:
            given = config.authorization
            secret = given.credentials.get_secret_value()
            if given.credentials_file:
                secret = given.credentials_file.read_text("utf-8").strip()
            return {"Authorization": f"{given.type} {secret}"}
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("credentials_unreadable", f"cannot read the credentials: {error}") from error
    return {}


def _context(tls: TlsConfig, job: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        where = f"scrape job {job}: tls_config"
        raise InvalidInput("tls_unusable", f"certificates cannot be used: {error}", where=where) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
