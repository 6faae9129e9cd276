"""Which web pages may speak to the server."""

import httpx
import pytest
from pydantic import ValidationError
from starlette.responses import PlainTextResponse

from gnomon_server.access.web import WebGuard, WebSettings
from gnomon_server.transport.reply import response

SETTINGS = WebSettings(hosts=("Gnomon.example",), origins=("https://shop.example",))
OWN = "http://127.0.0.1:4319"
EMBED = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def ask(
    method: str = "POST", path: str = "/v1/traces", settings: WebSettings = SETTINGS, **headers: str
) -> httpx.Response:
    """One request through the guard; keyword `sec_fetch_site` is the header of that name."""
    guard = WebGuard(PlainTextResponse("inside"), settings, response)
    headers = {"host": "127.0.0.1:4319", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=OWN) as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "[::1]:4319", "gnomon.example:443", "GNOMON.EXAMPLE"])
async def test_our_own_names_pass(host: str) -> None:
    """Loopback and configured names, with any port; agents send no Origin."""
    assert (await ask(host=host)).text == "inside"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4319", "127.0.0.1.evil.example", "10.0.0.1", "[", "a b"]
)
async def test_a_rebound_name_is_refused(host: str) -> None:
    """With DNS rebinding a foreign page's requests carry its own name."""
    answer = await ask(host=host)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_forbidden")


async def test_an_asterisk_takes_every_host() -> None:
    """For who checks it elsewhere."""
    assert (await ask(host="any.example", settings=WebSettings(hosts=("*",)))).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:4318", "https://shop.example.evil"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_foreign_page_is_refused(origin: str, method: str) -> None:
    """Another port is another origin, and a sandboxed page is nobody."""
    answer = await ask(method, origin=origin)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_forbidden")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:4319", OWN),
        ("localhost:4319", "http://localhost:4319"),
        ("gnomon.example", "https://gnomon.example"),
    ],
)
async def test_our_own_page_passes_without_cors(host: str, origin: str) -> None:
    """The console, also behind a proxy that ends TLS."""
    answer = await ask(path="/api/gnomon/v1/sql", host=host, origin=origin)
    assert answer.text == "inside"
    assert "access-control-allow-origin" not in answer.headers


async def test_a_configured_origin_may_send_telemetry_only() -> None:
    """CORS is for OTLP paths; the query API stays closed to that page."""
    sent = await ask(origin="https://shop.example", sec_fetch_site="cross-site")
    assert (sent.text, sent.headers["access-control-allow-origin"]) == ("inside", "https://shop.example")
    assert "Origin" in sent.headers["vary"]
    assert (await ask(path="/api/gnomon/v1/sql", origin="https://shop.example")).status_code == 403


async def test_a_preflight_of_a_configured_origin_is_answered() -> None:
    """Browser SDKs send JSON with a token, which needs one."""
    answer = await ask(
        "OPTIONS",
        origin="https://shop.example",
        access_control_request_method="POST",
        access_control_request_headers="authorization, content-type",
    )
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"


async def test_other_sites_may_link_but_not_embed() -> None:
    """A navigation is somebody following a link; an image or script is a page probing."""
    assert (await ask("GET", "/", **LINK)).text == "inside"
    assert (await ask("GET", "/", **EMBED)).json()["error"]["code"] == "cross_site"
    assert (await ask("POST", "/", **LINK)).json()["error"]["code"] == "cross_site"
    assert (await ask("GET", "/", sec_fetch_site="same-origin")).text == "inside"


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "ftp://shop.example"])
def test_a_configured_origin_must_be_one(origin: str) -> None:
    """A typing error would otherwise never match, silently."""
    with pytest.raises(ValidationError, match="is not an origin"):
        WebSettings(origins=(origin,))
