"""Targets: how discovery and relabelling make them, their URL, and what became of their last scrape.

Source: Prometheus scrape/target.go (PopulateLabels, URL, offset, Report) and web/api/v1/api.go (Target) for the JSON.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

import xxhash

from gnomon_server.errors import InvalidInput
from gnomon_server.model.relabel import Relabeller
from gnomon_server.query.syntax import durations
from gnomon_server.receive.scrape.settings import ScrapeConfig

_PARAM = "__param_"
_LOCAL = {"localhost", "127.0.0.1", "[::1]"}
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(slots=True)
class Target:
    """One target and the state of its last scrape: what /api/v1/targets shows.

    `discovered` are the labels before relabelling, `internal` those after it; `health` is `unknown` before the first
    scrape.
    """

    job: str
    discovered: dict[str, str]
    internal: dict[str, str]
    params: dict[str, tuple[str, ...]]
    interval_ms: int
    timeout_ms: int
    health: Literal["unknown", "up", "down"] = "unknown"
    last_error: str = ""
    last_warning: str = ""
    last_scrape_ns: int = 0
    last_duration_s: float = 0.0
    key: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.job, *sorted(self.internal.items()), *sorted(self.params.items()))

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its series get: those that are not internal."""
        return {name: value for name, value in sorted(self.internal.items()) if not name.startswith("__")}

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self._url(self.internal["__address__"])

    @property
    def global_url(self) -> str:
        """The same, as seen from other machines."""
        host, colon, port = self.internal["__address__"].rpartition(":")
        if not colon:
            host, port = port, ""
        return self._url(f"{socket.gethostname()}{colon}{port}") if host in _LOCAL else self.url

    def _url(self, address: str) -> str:
        params = {name: list(values) for name, values in self.params.items()}
        for name, value in self.internal.items():
            if name.startswith(_PARAM):
                key = name.removeprefix(_PARAM)
                params[key] = [value, *params.get(key, [])[1:]]
        query = urlencode([(name, value) for name in sorted(params) for value in params[name]])
        path = self.internal["__metrics_path__"]
        path = path if path.startswith("/") else f"/{path}"
        return f"{self.internal['__scheme__']}://{address}{path}" + (f"?{query}" if query else "")

    def offset_ns(self) -> int:
        """Its place within the interval: spread by hash, the same after every restart of this machine's server."""
        seed = xxhash.xxh3_64_intdigest(socket.gethostname().encode())
        mine = xxhash.xxh3_64_intdigest(repr((self.url, sorted(self.labels.items()))).encode())
        return int((mine ^ seed) % (self.interval_ms * 1_000_000))

    def report(self, started_ns: int, duration_s: float, error: str, warning: str) -> None:
        """What became of a scrape; `error` is empty when all of it was stored, `warning` when all was well."""
        self.health = "down" if error else "up"
        self.last_error, self.last_warning = error, warning
        self.last_scrape_ns, self.last_duration_s = started_ns, duration_s

    def to_dict(self) -> dict[str, Any]:
        """As Prometheus' API shows an active target, and `lastWarning`, which is ours."""
        return {
            "discoveredLabels": self.discovered,
            "labels": self.labels,
            "scrapePool": self.job,
            "scrapeUrl": self.url,
            "globalUrl": self.global_url,
            "lastError": self.last_error,
            "lastWarning": self.last_warning,
            "lastScrape": _rfc3339(self.last_scrape_ns),
            "lastScrapeDuration": self.last_duration_s,
            "health": self.health,
            "scrapeInterval": durations.show(self.interval_ms),
            "scrapeTimeout": durations.show(self.timeout_ms),
        }


@dataclass(frozen=True, slots=True)
class DroppedTarget:
    """A target that relabelling dropped."""

    job: str
    discovered: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As Prometheus' API shows it."""
        return {"discoveredLabels": self.discovered, "scrapePool": self.job}


def make_target(config: ScrapeConfig, relabeller: Relabeller, labels: Mapping[str, str]) -> Target | DroppedTarget:
    """The target of discovered labels, `__address__` among them. InvalidInput when it cannot be one."""
    discovered = {
        "job": config.job_name,
        "__scrape_interval__": durations.show(config.scrape_interval),
        "__scrape_timeout__": durations.show(config.scrape_timeout),
        "__metrics_path__": config.metrics_path,
        "__scheme__": config.scheme,
        **{name: value for name, value in labels.items() if value},
        **{_PARAM + name: values[0] for name, values in config.params.items() if values},
    }
    relabelled = relabeller.apply(discovered)
    if relabelled is None:
        return DroppedTarget(config.job_name, discovered)
    address = relabelled.get("__address__", "")
    if not address or "/" in address:
        raise _unusable(config, f"{address[:100]!r} is no address, which is host:port")
    interval, timeout = (_duration(config, relabelled, name) for name in ("interval", "timeout"))
    if timeout > interval:
        raise _unusable(config, f"the timeout of {address} is longer than its interval")
    if relabelled.get("__scheme__") not in {"http", "https"}:
        raise _unusable(config, f"the scheme of {address} is http or https")
    kept = {name: value for name, value in relabelled.items() if not name.startswith("__meta_")}
    internal = {"__metrics_path__": "/", "instance": address, **kept}
    return Target(config.job_name, discovered, internal, dict(config.params), interval, timeout)


def _duration(config: ScrapeConfig, labels: Mapping[str, str], name: str) -> int:
    text = labels.get(f"__scrape_{name}__", "")
    try:
        found = durations.parse(text)
    except ValueError as error:
        raise _unusable(config, f"__scrape_{name}__: {error}") from error
    if not found:
        raise _unusable(config, f"__scrape_{name}__ cannot be 0")
    return found


def _unusable(config: ScrapeConfig, why: str) -> InvalidInput:
    return InvalidInput("invalid_target", why, where=f"scrape job {config.job_name}")


def _rfc3339(ns: int) -> str:
    if not ns:
        return _NEVER
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
