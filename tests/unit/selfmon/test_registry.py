"""The server's own metrics: who may see which."""

import httpx
import pytest
from starlette.applications import Starlette

from gnomon_server.api import health
from gnomon_server.selfmon.registry import Registry


@pytest.mark.parametrize("sees_tenants", [True, False])
async def test_metrics_of_tenants_are_for_administrators(sees_tenants: bool) -> None:
    """Anybody may scrape, and learns nothing of who the tenants are and what they run."""
    registry = Registry()
    registry.set("gnomon_source_silent_seconds", 5, tenant="acme", signal="traces", service="payments")
    registry.set("gnomon_ready", 1)
    app = Starlette(routes=health.routes(registry, lambda: "", lambda _request: sees_tenants))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gnomon") as client:
        text = (await client.get("/metrics")).text
    assert "gnomon_ready 1" in text
    assert ("acme" in text) is sees_tenants
    assert ("payments" in text) is sees_tenants
