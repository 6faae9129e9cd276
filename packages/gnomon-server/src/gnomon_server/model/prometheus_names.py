"""OpenTelemetry metric names and attributes as Prometheus series, by `UnderscoreEscapingWithSuffixes`.

Source: Prometheus 3 `otlptranslator` and
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

import re
from functools import lru_cache

import numpy as np

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")
_UNDERSCORES = re.compile(r"_+")
_ANNOTATION = re.compile(r"\{[^}]*\}")

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "B": "bytes", "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz",
    "1": "", "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


@lru_cache(maxsize=100_000)
def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> str:
    """`http.server.duration` in `s` -> `http_server_duration_seconds`; counters end in `_total`."""
    parts = [part for part in _NOT_IN_NAMES.split(name) if part]
    for suffix in _unit_suffixes(unit):
        if suffix not in parts:
            parts.append(suffix)
    if counter:
        parts = [part for part in parts if part != "total"] + ["total"]
    if gauge and unit == "1" and "ratio" not in parts:
        parts.append("ratio")
    result = "_".join(parts)
    return f"_{result}" if result[:1].isdigit() else result


def _unit_suffixes(unit: str) -> list[str]:
    main, _, per = _ANNOTATION.sub("", unit).partition("/")
    suffixes = []
    main, per = main.strip(), per.strip()
    if main:
        suffixes.append(_clean(_UNITS.get(main, main)))
    if per:
        suffixes.append("per_" + _clean(_PER.get(per, per)))
    return [suffix for suffix in suffixes if suffix]


def _clean(unit: str) -> str:
    return _UNDERSCORES.sub("_", _NOT_IN_LABELS.sub("_", unit)).strip("_")


@lru_cache(maxsize=100_000)
def label_name(key: str) -> str:
    """`http.route` -> `http_route`; a key that begins with a digit gets `key_` before it."""
    cleaned = _NOT_IN_LABELS.sub("_", key)
    if cleaned[:1].isdigit():
        return f"key_{cleaned}"
    if cleaned.startswith("_") and not cleaned.startswith("__"):
        return f"key{cleaned}"
    return cleaned


def bucket_bound(bound: float) -> str:
    """The `le` label as Prometheus writes it for OTLP (Go's 'f', shortest): 0.005, 10, 1000000."""
    if bound == float("inf"):
        return "+Inf"
    return str(np.format_float_positional(bound, trim="-"))
