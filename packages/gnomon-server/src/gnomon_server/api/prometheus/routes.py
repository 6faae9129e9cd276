"""The paths of Prometheus' HTTP API, at the root and below /prometheus."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.prometheus.envelope import Endpoint, refusing
from gnomon_server.api.prometheus.federate import Federation
from gnomon_server.api.prometheus.queries import Queries
from gnomon_server.api.prometheus.remote_read import RemoteRead
from gnomon_server.api.prometheus.series import SeriesQueries
from gnomon_server.api.prometheus.status import Status
from gnomon_server.api.prometheus.targets import Scraping, Targets
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.door import PromqlDoor
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.selfmon.clock import Clock

PREFIXES = ("", "/prometheus")
_GET, _BOTH, _POST = ["GET"], ["GET", "POST"], ["POST"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API answers from.

    Attributes:
        door, index: PromQL, and which series there are.
        scraping, scraped_tenant: what scrapes, and whose the series become.
        clock: now.
        options: what a query may ask for at the most.
        version, retention, started_ns: of this server; retention is a text as `7d`, empty for ever.
    """

    door: PromqlDoor
    index: SeriesIndex
    scraping: Scraping
    scraped_tenant: str
    clock: Clock
    version: str
    retention: str
    started_ns: int
    options: Options = field(default_factory=Options)


def routes(parts: Parts, grant: Callable[[Request], Grant], not_ready_because: Callable[[], str]) -> list[Route]:
    """All routes; `grant` says whose rows, or raises; `not_ready_because()` is empty while the server is ready."""

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("Prometheus Server is Healthy.\n")

    async def ready(_request: Request) -> Response:
        reason = not_ready_because()
        return PlainTextResponse(
            f"Service Unavailable: {reason}\n" if reason else "Prometheus Server is Ready.\n", 503 if reason else 200
        )

    async def options(_request: Request) -> Response:
        return Response(status_code=204)

    table = [(f"/api/v1{path}", methods, endpoint) for path, methods, endpoint in _api(parts, grant)]
    federation = Federation(parts.index, grant, parts.clock, parts.options)
    table += [
        ("/federate", _GET, federation.federate),
        ("/-/healthy", _GET, healthy),
        ("/-/ready", _GET, ready),
        ("/api/v1/{path:path}", ["OPTIONS"], options),
    ]
    return [
        Route(prefix + path, refusing(endpoint), methods=methods)
        for prefix in PREFIXES
        for path, methods, endpoint in table
    ]


def _api(parts: Parts, grant: Callable[[Request], Grant]) -> list[tuple[str, list[str], Endpoint]]:
    queries = Queries(parts.door, parts.index, grant, parts.clock, parts.options)
    series = SeriesQueries(parts.index, grant)
    status = Status(parts.index, grant, parts.clock, parts.options, parts.version, parts.retention, parts.started_ns)
    targets = Targets(parts.scraping, parts.scraped_tenant, parts.index, grant, parts.clock)
    read = RemoteRead(parts.index, grant, parts.options.most_samples)
    return [
        ("/query", _BOTH, queries.instant),
        ("/query_range", _BOTH, queries.range),
        ("/query_exemplars", _BOTH, queries.exemplars),
        ("/format_query", _BOTH, queries.format),
        ("/parse_query", _BOTH, queries.parse),
        ("/series", _BOTH, series.series),
        ("/labels", _BOTH, series.label_names),
        ("/label/{name:path}/values", _GET, series.label_values),
        ("/metadata", _GET, series.metadata),
        ("/targets", _GET, targets.targets),
        ("/targets/metadata", _GET, targets.metadata),
        ("/scrape_pools", _GET, targets.pools),
        ("/status/config", _GET, status.config),
        ("/status/flags", _GET, status.flags),
        ("/status/runtimeinfo", _GET, status.runtimeinfo),
        ("/status/buildinfo", _GET, status.buildinfo),
        ("/status/tsdb", _GET, status.tsdb),
        ("/status/walreplay", _GET, status.walreplay),
        ("/features", _GET, status.features),
        ("/rules", _GET, status.nothing({"groups": []})),
        ("/alerts", _GET, status.nothing({"alerts": []})),
        ("/alertmanagers", _GET, status.nothing({"activeAlertmanagers": [], "droppedAlertmanagers": []})),
        ("/notifications", _GET, status.nothing([])),
        ("/read", _POST, read.read),
    ]
