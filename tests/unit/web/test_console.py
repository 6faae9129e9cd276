import asyncio
import gzip
import http.client
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gnomon_server import web
from gnomon_server.transport.http_server import HttpServer
from gnomon_server.transport.reply import EXCEPTION_HANDLERS
from gnomon_server.web import assets
from gnomon_server.web.console import PAGES

ROOT = Path(__file__).parents[3]
INDEX = b"<!doctype html><title>Gnomon</title>" + b" " * 200
SCRIPT = b"console.log('hello');" * 20


@pytest.fixture
def static_dir(tmp_path: Path) -> Path:
    """A console as the build leaves it."""
    (tmp_path / "static/assets").mkdir(parents=True)
    for name, body in {"index.html": INDEX, "assets/index-a1b2c3.js": SCRIPT}.items():
        (tmp_path / "static" / name).write_bytes(body)
        (tmp_path / "static" / f"{name}.gz").write_bytes(gzip.compress(body))
    (tmp_path / "static/favicon.svg").write_bytes(b"<svg/>")
    (tmp_path / "secret.txt").write_text("not yours")
    return tmp_path / "static"


@dataclass
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    def refusal(self) -> str:
        """The code of its letter."""
        code: str = json.loads(self.content)["error"]["code"]
        return code


@dataclass
class Client:
    """Sends paths as they are written, which a browser or a library would tidy first."""

    address: tuple[str, int]

    async def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        return await asyncio.to_thread(self._ask, path, headers or {}, method)

    def _ask(self, path: str, headers: dict[str, str], method: str) -> Answer:
        with closing(http.client.HTTPConnection(*self.address, timeout=10)) as connection:
            connection.request(method, path, headers={"accept-encoding": "identity", **headers})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


@asynccontextmanager
async def serving(static_dir: Path) -> AsyncIterator[Client]:
    """The console mounted last in an app on our own server, as in the real one."""

    async def api(_request: object) -> PlainTextResponse:
        return PlainTextResponse("api")

    routes = [Route("/api/known", api), web.build(static_dir)]
    server = HttpServer(Starlette(routes=routes, exception_handlers=dict(EXCEPTION_HANDLERS)))
    await server.start()
    try:
        yield Client(server.address)
    finally:
        await server.stop()


@pytest.fixture
async def client(static_dir: Path) -> AsyncIterator[Client]:
    """Speaks to a served console."""
    async with serving(static_dir) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/services", "/services/a%2Fb", "/services/a%20.js", "/traces/00ff?span=1", "/logs", "/sql"]
)
async def test_pages_are_the_index(client: Client, path: str) -> None:
    """Every address the console routes by itself can be opened, reloaded and linked to."""
    answer = await client.get(path)
    assert (answer.status, answer.content) == (200, INDEX)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_files_are_kept_for_ever(client: Client) -> None:
    """A file whose name holds its hash never changes; any other is asked for again."""
    script, icon = await client.get("/assets/index-a1b2c3.js"), await client.get("/favicon.svg")
    assert (script.content, script.headers["cache-control"]) == (SCRIPT, "public, max-age=31536000, immutable")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (icon.headers["content-type"], icon.headers["cache-control"]) == ("image/svg+xml", "no-cache")


@pytest.mark.parametrize("path", ["/", "/assets/index-a1b2c3.js", "/favicon.svg"])
async def test_headers_of_defence(client: Client, path: str) -> None:
    """Stored telemetry is hostile: nothing inline runs, nothing is sniffed, nobody frames us."""
    headers = (await client.get(path)).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("accepts", "encoded"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("br", False),
        ("", False),
        ("*", False),
    ],
)
async def test_gzip_as_the_client_likes(client: Client, accepts: str, encoded: bool) -> None:
    """The bytes the build compressed go to who takes them, with a weak tag; the content is the same."""
    answer = await client.get("/assets/index-a1b2c3.js", headers={"accept-encoding": accepts})
    zipped = answer.headers.get("content-encoding") == "gzip"
    body = gzip.decompress(answer.content) if zipped else answer.content
    assert (zipped, body) == (encoded, SCRIPT)
    assert answer.headers["etag"].startswith("W/") is encoded
    assert answer.headers["vary"] == "accept-encoding"


async def test_a_known_etag_is_answered_with_304(client: Client) -> None:
    """Both forms of the tag match, alone or in a list; another one brings the file."""
    etag = (await client.get("/")).headers["etag"]
    for tag in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get("/", headers={"if-none-match": tag})
        assert (answer.status, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await client.get("/", headers={"if-none-match": '"other"'})).status == 200


async def test_head_has_the_headers_of_get(client: Client) -> None:
    """HEAD says what GET would bring, without bringing it."""
    head, get = await client.get("/", method="HEAD"), await client.get("/")
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


@pytest.mark.parametrize(
    "path",
    [
        "/api/unknown",
        "/v1/traces",
        "/nothing",
        "/index",
        "/assets/other.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2F..%2Fsecret.txt",
        "/assets",
        "/index.html.gz",
    ],
)
async def test_unknown_paths_are_refused_in_our_words(client: Client, path: str) -> None:
    """What is neither page nor file is a 404 with the letter, never the index and never a file from elsewhere."""
    answer = await client.get(path)
    assert (answer.status, answer.refusal()) == (404, "not_found")


async def test_a_page_takes_no_post(client: Client) -> None:
    """The console only shows."""
    assert (await client.get("/services", method="POST")).status == 404


async def test_earlier_routes_come_first(client: Client) -> None:
    """Mounted last, the console leaves the API alone."""
    assert (await client.get("/api/known")).content == b"api"


async def test_without_a_build_it_says_how(tmp_path: Path) -> None:
    """A source tree without Node still starts, and the page names the command."""
    async with serving(tmp_path / "missing") as client:
        answer = await client.get("/traces/00ff")
        assert answer.status == 503
        assert b"make ui" in answer.content
        assert (await client.get("/assets/index.js")).status == 404


def test_pages_are_those_of_the_console() -> None:
    """The server's list of pages is the one the console routes by."""
    source = (ROOT / "ui/src/model/location.ts").read_text()
    declared = re.search(r"export const PAGES = \[(.*?)\]", source)
    assert declared
    assert set(re.findall(r'"(\w+)"', declared[1])) | {""} == PAGES


def test_reading_leaves_the_compressed_twins_out(static_dir: Path) -> None:
    """`.gz` files are a form of their file, not files of their own."""
    files = assets.read(static_dir)
    assert sorted(files) == ["/assets/index-a1b2c3.js", "/favicon.svg", "/index.html"]
    assert files["/favicon.svg"].gzipped is None
