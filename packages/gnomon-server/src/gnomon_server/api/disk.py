"""GET /api/gnomon/v1/disk: where the bytes are, and how long the disk lasts."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.api import parameters
from gnomon_server.store.forecast import DiskReport


def routes(report: Callable[[], Awaitable[DiskReport]], grant: Callable[[Request], Grant]) -> list[Route]:
    """The route; `grant` says that the asker administers the server, or raises: it shows all tenants."""

    async def disk(request: Request) -> Response:
        parameters.allow_only(request)
        grant(request)
        return Response(orjson.dumps(_told(await report())), media_type="application/json")

    return [Route("/api/gnomon/v1/disk", disk)]


def _told(report: DiskReport) -> dict[str, Any]:
    usage, forecast = report.usage, report.forecast
    signals: dict[str, int] = {}
    for table in report.tables:
        signals[table.signal] = signals.get(table.signal, 0) + table.held_bytes
    return {
        "held_bytes": usage.held_bytes,
        "leaving_bytes": usage.leaving_bytes,
        "free_bytes": usage.free_bytes,
        "budget_bytes": forecast.budget_bytes,
        "growth_bytes_a_day": round(forecast.growth_bytes_a_day),
        "days_left": forecast.days_left,
        "peak_bytes": forecast.peak_bytes,
        "first_dropped": [
            {"table": part.table, "day": part.first.isoformat(), "bytes": part.weight_bytes}
            for part in forecast.first_dropped
        ],
        "signals": signals,
        "tables": [
            {
                "table": table.table,
                "signal": table.signal,
                "bytes": table.held_bytes,
                "index_bytes": table.index_bytes,
                "rows": table.rows,
                "bytes_a_row": round(table.bytes_a_row, 2),
                "compression_ratio": round(table.compression_ratio, 2),
            }
            for table in report.tables
        ],
        "days": [{"day": day.isoformat(), **signals} for day, signals in report.days.items()],
        "tenants": [
            {"tenant": tenant, **{signal: round(share) for signal, share in signals.items()}}
            for tenant, signals in report.tenants.items()
        ],
    }
