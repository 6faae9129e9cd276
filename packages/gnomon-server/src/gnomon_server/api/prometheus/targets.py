"""`/targets`, `/targets/metadata` and `/scrape_pools`: what is scraped, and how it went."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Grant
from gnomon_server.api.leaving import while_connected
from gnomon_server.api.prometheus import parameters
from gnomon_server.api.prometheus.envelope import success
from gnomon_server.query.promql.metadata import SeriesIndex
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp
from gnomon_server.selfmon.clock import Clock

_METADATA_OF_MS = 3_600_000  # a target's metrics are those that it had within the last hour
_SUFFIXES = ("_bucket", "_count", "_sum", "_total")


class Shown(Protocol):
    """A target."""

    @property
    def job(self) -> str:
        """Whose it is."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""


class Scraping(Protocol):
    """What scrapes (receive.scrape.scraper.Scraper)."""

    def targets(self) -> Sequence[Shown]:
        """The active ones."""

    def dropped(self) -> Sequence[Shown]:
        """Those that relabelling dropped."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The endpoints. Targets are for those who may read the `tenant` whose series they become."""

    scraping: Scraping
    tenant: str
    index: SeriesIndex
    grant: Callable[[Request], Grant]
    clock: Clock

    async def targets(self, request: Request) -> Response:
        """`/targets`."""
        mine = self.grant(request).tenant == self.tenant
        form = await parameters.read(request)
        state, pool = form.text("state").lower(), form.text("scrapePool")
        active = self.scraping.targets() if mine and state in ("", "any", "active") else []
        dropped = self.scraping.dropped() if mine and state in ("", "any", "dropped") else []
        counts: dict[str, int] = {}
        for one in dropped:
            counts[one.job] = counts.get(one.job, 0) + 1
        return success(
            {
                "activeTargets": [one.to_dict() for one in active if pool in ("", one.job)],
                "droppedTargets": [one.to_dict() for one in dropped if pool in ("", one.job)],
                "droppedTargetCounts": dict(sorted(counts.items())),
            }
        )

    async def pools(self, request: Request) -> Response:
        """`/scrape_pools`."""
        targets = self.scraping.targets() if self.grant(request).tenant == self.tenant else []
        return success({"scrapePools": sorted({one.job for one in targets})})

    async def metadata(self, request: Request) -> Response:
        """`/targets/metadata`: the metadata of the metrics that each target has."""
        tenant, form = self.grant(request).tenant, await parameters.read(request)
        limit, wanted = form.limit(), form.text("metric")
        chosen = next(iter(form.matchers("match_target")), ())
        found = await while_connected(request, self._described(tenant, chosen, wanted, limit))
        return success(found[:limit] if limit else found)

    async def _described(self, tenant: str, chosen: Sequence[Matcher], wanted: str, limit: int) -> list[dict[str, Any]]:
        """What is known of the metrics of the chosen targets; `metric` is said where none is asked for."""
        if tenant != self.tenant:
            return []
        known = await self.index.metadata(tenant, wanted)
        found: list[dict[str, Any]] = []
        for target in self.scraping.targets():
            labels = target.to_dict()["labels"]
            if limit and len(found) >= limit:
                break
            if not all(_matches(one, labels) for one in chosen):
                continue
            families = await self._families(tenant, labels)
            for one in known:
                if one["metric"] in families:
                    named = {} if wanted else {"metric": one["metric"]}
                    found.append(
                        {"target": labels, **named, "type": one["kind"], "help": one["help"], "unit": one["unit"]}
                    )
        return found

    async def _families(self, tenant: str, labels: dict[str, str]) -> set[str]:
        """The names under which a target's metrics may be described: their own, and those of their families."""
        now_ms = self.clock.now_ns() // 1_000_000
        own = tuple(Matcher(name, MatchOp.EQUAL, value) for name, value in labels.items())
        names = await self.index.label_values(tenant, METRIC_NAME, [own], (now_ms - _METADATA_OF_MS, now_ms))
        return {family for name in names for family in (name, *(name.removesuffix(suffix) for suffix in _SUFFIXES))}


def _matches(matcher: Matcher, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL):
        found = value == matcher.value
    else:  # by RE2, as everywhere: Python's own expressions can take for ever
        found = pc.match_substring_regex(pa.scalar(value), f"^(?s:{matcher.value})$").as_py()
    return bool(found) == (matcher.op in (MatchOp.EQUAL, MatchOp.REGEX))
