"""Requests to targets: credentials, TLS, redirects, sizes, deadlines; and targets that come and go."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gnomon_server.decode.otlp.context import NothingSeen
from gnomon_server.errors import GnomonError
from gnomon_server.model.batch import Batch
from gnomon_server.model.relabel import Relabeller
from gnomon_server.model.series import STALE_BITS
from gnomon_server.receive.scrape.client import Answer, TargetClient
from gnomon_server.receive.scrape.scraper import Scraper
from gnomon_server.receive.scrape.settings import ScrapeSettings
from gnomon_server.receive.scrape.targets import Target, make_target
from gnomon_server.selfmon.clock import SystemClock
from gnomon_server.selfmon.registry import Registry

TLS = Path(__file__).parents[2] / "cases" / "tls"


async def _metrics(request: web.Request) -> web.Response:
    said = request.headers.get("Authorization", "nobody")
    return web.Response(text=f"# {said} {request.query_string}\na 1\n")


async def _huge(_request: web.Request) -> web.Response:
    return web.Response(body=b"a 1\n" * 1000)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await asyncio.sleep(30)
    return response


async def _elsewhere(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/metrics")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A target."""
    async for found in _serve(None):
        yield found


@pytest.fixture
async def tls_address() -> AsyncIterator[str]:
    """One over TLS, with a certificate that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    async for found in _serve(context):
        yield found


async def _serve(context: ssl.SSLContext | None) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", _metrics),
            web.get("/huge", _huge),
            web.get("/endless", _endless),
            web.get("/elsewhere", _elsewhere),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _get(address: str, **keys: Any) -> Answer:
    (job,) = ScrapeSettings.model_validate({"configs": [{"job_name": "j", **keys}]}).jobs()
    target = make_target(job, Relabeller([]), {"__address__": address})
    assert isinstance(target, Target)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        return await TargetClient(session, job).get(target)


async def test_credentials(address: str, tmp_path: Path) -> None:
    """Basic and bearer, from the settings and from files that are read each time."""
    secret = tmp_path / "secret"
    secret.write_text("rotated\n")
    for keys, said in (
        ({}, b"# nobody "),
        ({"basic_auth": {"username": "me", "password": "pw"}}, b"# Basic bWU6cHc= "),
        ({"basic_auth": {"username": "me", "password_file": secret}}, b"# Basic bWU6cm90YXRlZA== "),
        ({"authorization": {"credentials": "abc"}}, b"# Bearer abc "),
        ({"authorization": {"type": "Token", "credentials_file": secret}}, b"# Token rotated "),
        ({"params": {"a": ["b", "c d"]}}, b"# nobody a=b&a=c d\n"),
    ):
        answer = await _get(address, **keys)
        assert answer.body.startswith(said)
        assert answer.content_type.startswith("text/plain")
    with pytest.raises(GnomonError, match="credentials_unreadable"):
        await _get(address, authorization={"credentials_file": tmp_path / "absent"})


async def test_what_fails(address: str) -> None:
    """Too much, too late, nobody there, a status: each says so."""
    for keys, words in (
        ({"metrics_path": "/huge", "body_size_limit": 1000}, "larger than 1000 bytes"),
        ({"metrics_path": "/endless", "scrape_timeout": "100ms"}, "no whole answer within 0.1 s"),
        ({"metrics_path": "/absent"}, "404 Not Found"),
        ({"metrics_path": "/elsewhere", "follow_redirects": False}, "302 Found"),
        ({"scheme": "https"}, "target_away"),
    ):
        with pytest.raises(GnomonError, match=words):
            await _get(address, **keys)
    with pytest.raises(GnomonError, match="target_away"):
        await _get("127.0.0.1:1")
    assert (await _get(address, metrics_path="/elsewhere")).body.endswith(b"a 1\n")


async def test_tls(tls_address: str, tmp_path: Path) -> None:
    """A certificate is checked, against the job's own authority where it names one, unless it says not to."""
    with pytest.raises(GnomonError, match="target_away"):
        await _get(tls_address, scheme="https")
    assert (await _get(tls_address, scheme="https", tls_config={"insecure_skip_verify": True})).body
    with pytest.raises(GnomonError, match="tls_unusable"):
        await _get(tls_address, scheme="https", tls_config={"ca_file": tmp_path / "absent"})


class _Sink:
    """Keeps what is submitted."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    async def submit(self, batch: Batch) -> None:
        self.batches.append(batch)

    def markers(self) -> int:
        return sum(
            int((batch.tables["samples"]["v"].to_numpy().view("u8") == STALE_BITS).sum()) for batch in self.batches
        )


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is awaited are states of the parts, which tell nobody
            await asyncio.sleep(0.05)


async def test_targets_come_and_go(address: str, tmp_path: Path) -> None:
    """Too many targets fail; one that is back in time goes on without a mark; one that stays away is marked."""
    file, sink = tmp_path / "targets.json", _Sink()
    settings = ScrapeSettings.model_validate(
        {"configs": [{"job_name": "j", "scrape_interval": "1s", "scrape_timeout": "1s", "target_limit": 1,
                      "file_sd_configs": [{"files": [str(file)]}]}]}
    )  # fmt: skip

    async def targets(*found: str) -> None:
        file.write_text(json.dumps([{"targets": found}]))
        await scraper._look()

    def health() -> list[str]:
        return [target.health for target in scraper.targets()]

    scraper = Scraper(settings, SystemClock(), Registry(), 10**9)
    try:
        await scraper.start(sink, NothingSeen())
        await targets(address)
        assert health() == ["unknown"]
        await _until(lambda: health() == ["up"])
        await targets()
        assert health() == []
        await targets(address)
        scraped = len(sink.batches)
        await _until(lambda: len(sink.batches) > scraped + 3)
        assert sink.markers() == 0
        await targets(address, "127.0.0.1:1")
        await _until(lambda: health() == ["down", "down"])
        assert "target_limit" in scraper.targets()[0].last_error
        await targets(address)
        await _until(lambda: health() == ["up"])
        markers = sink.markers()
        await targets()
        await _until(lambda: sink.markers() >= markers + len(["a", "up"]) + 4)
        assert scraper.problems() == []
    finally:
        await scraper.stop()
