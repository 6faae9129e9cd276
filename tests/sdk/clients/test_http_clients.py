"""What all HTTP clients have in common."""

import asyncio
import logging
from typing import Any

import pytest
from opentelemetry import context as api
from opentelemetry.trace import StatusCode
from tests.ports import free_port
from tests.sdk.clients.http_calls import CALLERS, Aiohttp, HttpxAsync
from tests.sdk.clients.seen import Seen
from tests.waiting import until

from gnomon.context import SPAN_KEY, current
from gnomon.integrations import http_client
from gnomon.integrations.http_client import Requests, without_credentials

DURATION = "http.client.request.duration"


@pytest.fixture(params=CALLERS, ids=lambda caller: type(caller).__name__)
def caller(request: pytest.FixtureRequest) -> Any:
    """Each of them."""
    return request.param


async def test_a_request_is_a_span_of_the_conventions(caller: Any, seen: Seen, url: str) -> None:
    """Its name, attributes, kind and metric are those of the stable HTTP conventions."""
    with seen.installed(caller.module):
        assert (await caller.call("GET", f"{url}/headers?page=2")).status == 200
    port = int(url.rpartition(":")[2])
    assert seen.client.name == "GET"
    assert seen.told() == {
        "url.full": f"{url}/headers?page=2",
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
        "network.protocol.version": caller.version,
    }
    assert seen.client.status.status_code is StatusCode.UNSET
    labels = ("http.request.method", "server.address", "server.port", "http.response.status_code", "error.type")
    assert seen.counts(DURATION, *labels) == {("GET", "127.0.0.1", port, 200, None): 1}
    seen.exported()


async def test_client_and_server_are_one_trace(caller: Any, seen: Seen, traced_url: str) -> None:
    """The server's span is the child of the client's, which is the child of what was current."""
    with seen.installed(caller.module), seen.tracer.start_as_current_span("work") as work:
        await caller.call("GET", f"{traced_url}/headers")
        assert current().get(SPAN_KEY) is work
    until(lambda: seen.servers)
    (server,) = seen.servers
    assert (server.trace, server.parent) == (seen.client.trace, seen.client.id)
    assert (seen.client.trace, seen.client.parent) == (work.trace, work.id)


async def test_headers_set_by_hand_stay(caller: Any, seen: Seen, traced_url: str) -> None:
    """`headers=tracing.get_trace_headers()` is not overwritten, and is the same trace."""
    with seen.installed(caller.module), seen.tracer.start_as_current_span("work") as work:
        mine = seen.telemetry.propagator.headers()
        answer = await caller.call("GET", f"{traced_url}/headers", headers=mine)
    assert answer.body["headers"]["traceparent"] == mine["traceparent"]
    until(lambda: seen.servers)
    assert (seen.servers[0].trace, seen.servers[0].parent) == (work.trace, work.id)
    assert seen.client.trace == work.trace


async def test_the_request_looks_as_it_did(caller: Any, seen: Seen, url: str) -> None:
    """What the host sees of its request has no header of ours in it, and the server has it once."""
    with seen.installed(caller.module):
        answer = await caller.call("GET", f"{url}/headers")
    assert "traceparent" not in answer.sent
    assert answer.body["headers"]["traceparent"].startswith(f"00-{seen.client.trace.hex()}-{seen.client.id.hex()}")


@pytest.mark.parametrize("code", [404, 503])
async def test_from_400_on_a_status_is_an_error(caller: Any, seen: Seen, url: str, code: int) -> None:
    """To a client the caller's mistakes are errors, too; the status is the error's type."""
    with seen.installed(caller.module):
        assert (await caller.call("GET", f"{url}/status/{code}")).status == code
    assert seen.client.status.status_code is StatusCode.ERROR
    assert seen.told()["error.type"] == str(code)
    assert seen.counts(DURATION, "error.type") == {(str(code),): 1}


async def test_each_redirect_is_a_request(caller: Any, seen: Seen, traced_url: str) -> None:
    """Every hop has its span, its count and its own header: the callees' parents are the hops."""
    with seen.installed(caller.module), seen.tracer.start_as_current_span("work"):
        assert (await caller.call("GET", f"{traced_url}/redirect/2")).status == 200
    told = [
        (s.attributes["http.response.status_code"], s.attributes.get("http.request.resend_count")) for s in seen.clients
    ]
    assert told == [(307, None), (307, 1), (200, 2)]
    until(lambda: len(seen.servers) == 3)
    assert [server.parent for server in seen.servers] == [client.id for client in seen.clients]
    assert len({span.trace for span in seen.spans}) == 1
    assert len({client.parent for client in seen.clients}) == 1


async def test_nobody_there(caller: Any, seen: Seen) -> None:
    """A refused connection is an error by its exception's name, which the host gets as it was."""
    with seen.installed(caller.module), pytest.raises(caller.refused) as raised:
        await caller.call("GET", f"http://127.0.0.1:{free_port()}/")
    assert seen.told()["error.type"] == type(raised.value).__qualname__
    assert "http.response.status_code" not in seen.told()
    assert seen.client.status.status_code is StatusCode.ERROR
    assert current().get(SPAN_KEY) is None


async def test_too_late(caller: Any, seen: Seen, url: str) -> None:
    """A timeout is an error of that name."""
    with seen.installed(caller.module), pytest.raises(caller.late) as raised:
        await caller.call("GET", f"{url}/slow", timeout_s=0.2)
    assert seen.told()["error.type"] == type(raised.value).__qualname__
    assert seen.client.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("caller", [HttpxAsync(), Aiohttp()], ids=lambda caller: type(caller).__name__)
async def test_cancellation_is_no_error(caller: Any, seen: Seen, url: str) -> None:
    """Someone else decided it: the span ends, named so, without an error status."""
    with seen.installed(caller.module):
        task = asyncio.create_task(caller.call("GET", f"{url}/slow"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen.told()["error.type"] == "CancelledError"
    assert seen.client.status.status_code is StatusCode.UNSET
    seen.exported()


async def test_an_invented_method_is_other(caller: Any, seen: Seen, url: str) -> None:
    """What is no method of HTTP names no span and makes no series."""
    with seen.installed(caller.module):
        assert (await caller.call("PURGE", f"{url}/headers")).body["method"] == "PURGE"
    assert seen.client.name == "HTTP"
    assert seen.told()["http.request.method_original"] == "PURGE"
    assert seen.counts(DURATION, "http.request.method") == {("_OTHER",): 1}


async def test_credentials_do_not_leave(caller: Any, seen: Seen, url: str) -> None:
    """Neither the span nor the bytes hold the user and password of a URL."""
    with seen.installed(caller.module):
        await caller.call("GET", url.replace("//", "//alice:hunter2@") + "/headers")
    assert "@" not in seen.told()["url.full"].replace("REDACTED:REDACTED@", "")
    assert b"hunter2" not in seen.exported()


async def test_suppressed_calls_leave_no_trace(caller: Any, seen: Seen, url: str) -> None:
    """Under the API's suppression nothing is recorded, and no header is added."""
    for key in ("suppress_instrumentation", "suppress_http_instrumentation"):
        token = api.attach(api.set_value(key, value=True))
        with seen.installed(caller.module):
            answer = await caller.call("GET", f"{url}/headers")
        api.detach(token)
        assert "traceparent" not in answer.body["headers"]
    assert not seen.spans


async def test_uninstalled_means_gone(caller: Any, seen: Seen, url: str) -> None:
    """After the undoing there are no spans and no headers."""
    with seen.installed(caller.module):
        pass
    assert "traceparent" not in (await caller.call("GET", f"{url}/headers")).body["headers"]
    assert not seen.spans


async def test_without_metrics_there_are_spans(caller: Any, url: str) -> None:
    """Metrics switched off: nothing is registered."""
    seen = Seen(metrics=False, formats=("b3multi",))
    with seen.installed(caller.module):
        answer = await caller.call("POST", f"{url}/headers")
    assert answer.body["headers"]["x-b3-traceid"] == seen.client.trace.hex()
    assert seen.client.name == "POST"
    assert not seen.registry.collect()


async def test_our_faults_stay_with_us(
    caller: Any, seen: Seen, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of ours raises, the request is made and answered."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    with caplog.at_level(logging.CRITICAL + 1):
        for owner, name in (
            (seen.telemetry.propagator.__class__, "headers"),
            (Requests, "known"),
            (http_client, "suppressed"),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(owner, name, broken)
                with seen.installed(caller.module):
                    assert (await caller.call("GET", f"{url}/headers")).status == 200
    assert current().get(SPAN_KEY) is None


def test_what_is_known_is_bounded(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawler's servers do not fill the memory."""
    monkeypatch.setattr(http_client, "MOST_KNOWN", 3)
    requests = Requests(seen.telemetry, "tests")
    for number in range(10):
        requests.known(("GET", f"host-{number}", 80, 200, "1.1", ""))
    assert len(requests._known) <= 3


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://shop/a@b", "http://shop/a@b"),
        ("http://shop?to=a@b", "http://shop?to=a@b"),
        ("http://alice@shop/x", "http://REDACTED@shop/x"),
        ("https://alice:p@ss@shop:81/x?y#z", "https://REDACTED:REDACTED@shop:81/x?y#z"),
    ],
)
def test_credentials_of_urls(url: str, shown: str) -> None:
    """What stands before the last @ of the authority is left out, and nothing else is touched."""
    assert without_credentials(url) == shown
