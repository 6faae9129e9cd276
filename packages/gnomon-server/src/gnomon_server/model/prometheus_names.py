"""OpenTelemetry metric names and attributes as Prometheus series, by `UnderscoreEscapingWithSuffixes`.

Source: Prometheus 3 `otlptranslator` (metric_namer.go, unit_namer.go, label_namer.go) and
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

import re
from functools import lru_cache

import numpy as np

_NAME_TOKENS = re.compile(r"[a-zA-Z0-9:]+")
_NOT_IN_UNITS = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


@lru_cache(maxsize=100_000)
def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> str:
    """`http.server.duration` in `s` -> `http_server_duration_seconds`; counters end in `_total`.

    Empty when the name has no letter, digit or colon to build on: such a metric cannot be named.
    """
    tokens = _NAME_TOKENS.findall(name)
    tokens += [suffix for suffix in _unit_suffixes(unit) if suffix not in tokens]
    if counter:
        tokens = [token for token in tokens if token != "total"] + ["total"]  # noqa: S105 - a word of a metric's name
    if gauge and unit == "1":
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]  # noqa: S105 - likewise
    result = "_".join(tokens)
    return f"_{result}" if result[:1].isdigit() else result


def _unit_suffixes(unit: str) -> list[str]:
    """What the unit adds to a name, in order: the unit itself, then `per_` what it is divided by."""
    main, _, per = unit.partition("/")
    suffixes = []
    if named := _clean(_named(main, _UNITS)):
        suffixes.append(named)
    if (named := _clean("per_" + _named(per, _PER)).removesuffix("_")) != "per":
        suffixes = [suffix.removesuffix("_") for suffix in suffixes]
        suffixes.append(named)
    return suffixes


def _named(unit: str, names: dict[str, str]) -> str:
    """A unit in words; an annotation (`{requests}`) is none."""
    unit = unit.strip()
    return "" if "{" in unit or "}" in unit else names.get(unit, unit)


def _clean(unit: str) -> str:
    return _NOT_IN_UNITS.sub("_", unit).removeprefix("_")


@lru_cache(maxsize=100_000)
def label_name(key: str) -> str:
    """`http.route` -> `http_route`; a key that would begin with a digit or one underscore gets `key` before it.

    Prometheus refuses a series with a key of which nothing is left (empty, or no ASCII letter or digit in it); here
    such a key becomes `key_` and the underscores, so that the sample stays.
    """
    cleaned = _NOT_IN_LABELS.sub("_", key)
    if cleaned == key and cleaned.startswith("__"):
        return cleaned
    if cleaned[:1].isdigit() or not cleaned.strip("_"):
        return f"key_{cleaned}"
    if cleaned.startswith("_") and not cleaned.startswith("__"):
        return f"key{cleaned}"
    return cleaned


def bucket_bound(bound: float) -> str:
    """The `le` label as Prometheus writes it for OTLP (Go's 'f', shortest): 0.005, 10, 1000000."""
    if bound == float("inf"):
        return "+Inf"
    return str(np.format_float_positional(bound, trim="-"))
