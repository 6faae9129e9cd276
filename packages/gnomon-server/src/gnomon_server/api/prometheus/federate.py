"""`/federate`: the newest sample of each matching series, for another Prometheus to scrape.

Source: Prometheus web/federate.go, and expfmt.Negotiate of prometheus/common.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import federated_protobuf, federated_text, parameters
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.selfmon.clock import Clock
from gnomon_server.transport.media_type import media_type

_PROTOBUF, _TEXT, _VERSION = "application/vnd.google.protobuf", "text/plain", "0.0.4"
_FAMILY = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}


@dataclass(frozen=True, slots=True)
class Federation:
    """The endpoint."""

    index: SeriesIndex
    grant: Callable[[Request], Grant]
    clock: Clock
    options: Options

    async def federate(self, request: Request) -> Response:
        """`/federate?match[]=...`: untyped, with times; a series counts as long as the lookback."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        wanted = federated_protobuf if takes_protobuf(request.headers.get("accept", "")) else federated_text
        now_ms = self.clock.now_ns() // 1_000_000
        window = now_ms - self.options.lookback_ms, now_ms
        found: dict[Any, Any] = {}
        for matchers in form.matchers():
            samples = await while_connected(request, self.index.samples(tenant, matchers, window))
            found |= await asyncio.to_thread(wanted.newest, samples)
        answer = await asyncio.to_thread(wanted.exposition, found)
        return Response(answer, media_type=wanted.MEDIA_TYPE, headers={"vary": "Accept"})


def takes_protobuf(accept: str) -> bool:
    """Whether messages behind their lengths are preferred to text, which is the answer to all else."""
    for media, named in sorted(map(_asked, accept.split(",")), key=lambda one: -_weight(one[1])):
        if media == _PROTOBUF and named.items() >= _FAMILY.items():
            return True
        if media == _TEXT and named.get("version", _VERSION) == _VERSION:
            return False
    return False


def _asked(item: str) -> tuple[str, dict[str, str]]:
    media, named = media_type(item)
    return media, {name.lower(): value for name, value in named.items()}


def _weight(named: dict[str, str]) -> float:
    try:
        return float(named.get("q", "1"))
    except ValueError:
        return 0.0
