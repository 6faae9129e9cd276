"""`/series`, `/labels`, `/label/<name>/values` and `/metadata`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import parameters, texts
from gnomon_server.api.prometheus.envelope import TRUNCATED, success, success_of
from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.syntax.lexer import quote

_ESCAPED = re.compile(r"__|_([0-9a-f]{1,6})_", re.IGNORECASE)
_MAX_RUNE = 0x10FFFF


@dataclass(frozen=True, slots=True)
class SeriesQueries:
    """The endpoints."""

    index: SeriesIndex
    grant: Callable[[Request], Grant]

    async def series(self, request: Request) -> Response:
        """`/series`: the label sets that match a selector."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        if not form.values.get("match[]"):
            raise InvalidInput("match_missing", "no match[] parameter provided", where="match[]")
        window, sets, limit = form.window_ms(), form.matchers(), form.limit()
        found = await while_connected(request, self.index.series(tenant, sets, window, limit))
        shown = found.slice(0, limit) if limit else found
        return await success_of(lambda: (texts.joined(shown), [TRUNCATED] if len(shown) < len(found) else []))

    async def label_names(self, request: Request) -> Response:
        """`/labels`."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        window, sets, limit = form.window_ms(), form.matchers(), form.limit()
        return _listed(await while_connected(request, self.index.label_names(tenant, sets, window, limit)), limit)

    async def label_values(self, request: Request) -> Response:
        """`/label/<name>/values`."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        name = unescape(request.path_params["name"])
        if not name:
            raise InvalidInput("label_invalid", f"invalid label name: {quote(name)}", where="path")
        window, sets, limit = form.window_ms(), form.matchers(), form.limit()
        found = await while_connected(request, self.index.label_values(tenant, name, sets, window, limit))
        return _listed(found, limit)

    async def metadata(self, request: Request) -> Response:
        """`/metadata`: what senders say of each metric."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        limit, limit_per_metric = form.limit(), form.limit("limit_per_metric")
        rows = await while_connected(request, self.index.metadata(tenant, form.text("metric")))
        shown: dict[str, list[dict[str, str]]] = {}
        for metric, mine in groupby(rows, lambda row: row["metric"]):
            if limit and len(shown) == limit:
                break
            said = [{"type": row["kind"], "unit": row["unit"], "help": row["help"]} for row in mine]
            shown[metric] = said[:limit_per_metric] if limit_per_metric else said
        return success(shown)


def unescape(name: str) -> str:
    """`U__http_2e_method` -> `http.method`; what is not escaped so, or not rightly, stays.

    Source: prometheus/common model/metric.go (`UnescapeName`, `ValueEncodingEscaping`).
    """
    if not name.startswith("U__"):
        return name
    rest = name.removeprefix("U__")
    if "_" in _ESCAPED.sub("", rest):
        return name
    try:
        return _ESCAPED.sub(_character, rest)
    except ValueError:
        return name


def _character(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else ord("_")
    if code > _MAX_RUNE or 0xD800 <= code < 0xE000:  # noqa: PLR2004 - surrogates are no characters
        raise ValueError("no such character")
    return chr(code)


def _listed(found: list[str], limit: int) -> Response:
    cut = 0 < limit < len(found)
    return success(found[:limit] if cut else found, [TRUNCATED] if cut else [])
