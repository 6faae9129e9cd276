"""No tenant holds all places."""

import asyncio
from typing import Any

import pytest

from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.shares import PLACES, Shares
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp
from gnomon_server.store.durable_store import DurableStore

DAY_MS = 86_400_000


class Two:
    """Tenants 1 and 2."""

    def known(self, name: str) -> int | None:
        return int(name)


async def test_lists_and_queries_share_a_tenants_places(store: DurableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one tenant's statements run for ever, another's run; and that one never has more than its share."""
    shares = Shares()
    index, door = SeriesIndex(store, Two(), shares=shares), PromqlDoor(store, Two(), shares=shares)
    really, held, running = store.query, asyncio.Event(), 0

    async def slow(sql: str, params: dict[str, Any], **options: Any) -> Any:
        nonlocal running
        if params["tenant"] == 1:
            running += 1
            await held.wait()
        return await really(sql, params, **options)

    monkeypatch.setattr(store, "query", slow)
    named = (Matcher(METRIC_NAME, MatchOp.EQUAL, "up"),)
    try:
        heavy = [asyncio.create_task(index.label_names("1", (named,), (0, day * DAY_MS))) for day in range(PLACES)]
        heavy += [
            asyncio.create_task(door.instant(f"up{{a='{one}'}}", at_ms=DAY_MS, tenant="1", options=Options()))
            for one in range(PLACES)
        ]
        async with asyncio.timeout(20):
            assert await index.label_names("2", (named,), (0, DAY_MS)) == []
            await door.instant("up", at_ms=DAY_MS, tenant="2", options=Options())
        assert 0 < running < PLACES
        held.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*heavy)
        assert running == 2 * PLACES
    finally:
        await door.close()
