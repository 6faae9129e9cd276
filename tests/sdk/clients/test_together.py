"""All of them in one service: no code of the host's, and each can be switched off alone (TRC-07)."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
import requests
from opentelemetry import context as otel_context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.sdk.clients.seen import Seen
from tests.sdk.clients.servers import serving
from tests.waiting import until

from gnomon.context import Context, suppressed
from gnomon.integrations.table import Integrations

KINDS = {"starlette": "asgi", "requests": "requests", "sqlalchemy": "sqlalchemy", "redis": "redis"}
SILENT = {"*": False, "psycopg": False, "asyncpg": False, "urllib3": False}


@pytest.fixture
def app(redis_port: int) -> Iterator[Starlette]:
    """A service that knows nothing of us."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    cache = redis.Redis(port=redis_port)

    def order(request: Request) -> Response:
        cache.set("last", request.path_params["number"])
        with engine.connect() as connection:
            return JSONResponse(connection.execute(text("SELECT 1 WHERE 'a@b.c' = 'a@b.c'")).scalar())

    yield Starlette(routes=[Route("/orders/{number}", order)])
    cache.close()
    engine.dispose()


def scopes(seen: Seen) -> list[str]:
    """Who made the spans."""
    return sorted(span._lane.scope.name.rpartition(".")[2] for span in seen.spans)


LATER = """
from tests.sdk.clients.seen import Seen
from gnomon.integrations.table import Integrations
import sys
integrations = Integrations(Seen().telemetry, {"*": False, "NAME": True})
assert "NAME" not in sys.modules, "imported by us"
integrations.install()
assert not integrations.installed
import NAME
assert integrations.installed == ("NAME",), integrations.installed
"""


@pytest.mark.parametrize("name", ["httpx", "requests", "aiohttp", "sqlalchemy", "redis"])
def test_a_library_that_is_imported_later_is_instrumented_then(name: str) -> None:
    """And none of them is imported by us."""
    code = LATER.replace("NAME", name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("off", [None, *KINDS])
def test_four_kinds_of_span_and_each_may_be_off(off: str | None, app: Starlette, seen: Seen) -> None:
    """Everything is one trace; switching one off removes its spans and no others."""
    integrations = Integrations(seen.telemetry, SILENT | {name: name != off for name in KINDS})
    integrations.install()
    try:
        with serving(app) as url:
            assert requests.get(f"{url}/orders/7", timeout=10).json() == 1
            wanted = sorted(scope for name, scope in KINDS.items() if name != off)
            until(lambda: len(seen.spans) >= len(wanted))
    finally:
        integrations.uninstall()
    assert scopes(seen) == wanted
    if off is None:
        assert len({span.trace for span in seen.spans}) == 1
    assert b"a@b.c" not in seen.exported()


def test_calls_of_exporters_are_left_alone() -> None:
    """By the plain names, and by the keys that OpenTelemetry's SDK and its helpers use."""
    plain = Context({"suppress_instrumentation": True})
    own = otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, 1, Context())
    http = otel_context.set_value(otel_context._SUPPRESS_HTTP_INSTRUMENTATION_KEY, 1, Context())
    assert all(map(suppressed, (plain, own, http)))
    assert not suppressed(Context({"something": "else"}))
