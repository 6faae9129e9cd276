"""`/federate`: the newest sample of each matching series, for another Prometheus to scrape.

Source: Prometheus web/federate.go. The text format has no native histograms: their series are left out.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import parameters
from gnomon_server.api.prometheus.numbers import floats
from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.context import Options
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.promql.values import NAME, NO_ROW, Labels, Samples
from gnomon_server.selfmon.clock import Clock

_TEXT = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_METRIC, _LABEL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Newest = dict[Labels, tuple[bytes, int]]
"""The text of the value and its time in milliseconds, by series."""


@dataclass(frozen=True, slots=True)
class Federation:
    """The endpoint."""

    index: SeriesIndex
    grant: Callable[[Request], Grant]
    clock: Clock
    options: Options

    async def federate(self, request: Request) -> Response:
        """`/federate?match[]=...`: text, untyped, with times; a series counts as long as the lookback."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        now_ms = self.clock.now_ns() // 1_000_000
        window = now_ms - self.options.lookback_ms, now_ms
        found: Newest = {}
        for matchers in form.matchers():
            samples = await while_connected(request, self.index.samples(tenant, matchers, window))
            found |= await asyncio.to_thread(newest, samples)
        return Response(await asyncio.to_thread(exposition, found), media_type=_TEXT)


def newest(samples: Samples) -> Newest:
    """The newest sample of each series that is not gone."""
    filled = np.flatnonzero(np.diff(samples.begins))
    last = samples.begins[1:][filled] - 1
    shown = samples.v[last].view(np.uint64) != STALE_BITS
    if samples.rows is not None:
        shown &= samples.rows[last] == NO_ROW
    filled, last = filled[shown], last[shown]
    pairs = zip(floats(samples.v[last]), samples.ts[last].tolist(), strict=True)
    return {samples.labels[one]: pair for one, pair in zip(filled.tolist(), pairs, strict=True)}


def exposition(found: Newest) -> bytes:
    """The text format 0.0.4, by metric.

    `instance` is always said, empty where it is not known, so that the scraper does not put its own in.
    """
    lines = []
    for name, series in groupby(sorted(found), lambda labels: dict(labels).get(NAME, "")):
        if not name:
            continue
        lines.append(f"# TYPE {_quoted(name, _METRIC)} untyped\n".encode())
        for labels in series:
            value, at_ms = found[labels]
            lines.append(_named(name, labels).encode() + b" %b %d\n" % (value, at_ms))
    return b"".join(lines)


def _named(name: str, labels: Labels) -> str:
    pairs = {key: value for key, value in labels if key != NAME}
    shown = ",".join(
        f'{_quoted(key, _LABEL)}="{value.translate(_ESCAPES)}"' for key, value in {**pairs, **_instance(pairs)}.items()
    )
    if _METRIC.fullmatch(name):
        return f"{name}{{{shown}}}"
    return f"{{{_quoted(name, _METRIC)},{shown}}}"


def _instance(pairs: dict[str, str]) -> dict[str, str]:
    return {} if "instance" in pairs else {"instance": ""}


def _quoted(name: str, plain: re.Pattern[str]) -> str:
    return name if plain.fullmatch(name) else f'"{name.translate(_ESCAPES)}"'
