"""Names: which ones we take, and what Prometheus calls them.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ (UnderscoreEscapingWithSuffixes)
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from gnomon.errors import MetricsError
from gnomon.wire.metrics import COUNTER, GAUGE, HISTOGRAM, SUMMARY

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:]{0,254}\Z")
# What the OTel API allows besides; only instruments that come through it may be called so.
_OTEL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,254}\Z")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_KEPT_FOR = {HISTOGRAM: "le", SUMMARY: "quantile"}

# UCUM to words: https://github.com/prometheus/otlptranslator
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes",
    "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "%": "percent", "1": "",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


def check_name(name: str, *, otel: bool = False) -> None:
    """Refuse what is no metric name."""
    if not isinstance(name, str) or not (_OTEL_NAME if otel else _NAME).match(name):
        hint = "Use letters, digits, '_' and '.', beginning with a letter, at most 255: 'orders.placed', 'orders_total'"
        raise MetricsError(f"metric name {name!r} is not allowed", hint=hint)


def check_labels(metric: str, kind: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The label names as they were given; what Prometheus keeps for itself, doubles and non-names are refused."""
    if isinstance(labels, str):
        raise MetricsError(f"{metric}: labels={labels!r} is one text", hint=f"Write labels=({labels!r},)")
    names = tuple(labels)
    for name in names:
        if not isinstance(name, str) or not _LABEL.match(name):
            raise MetricsError(f"{metric}: label name {name!r} is not allowed", hint="Use letters, digits, '_' and '.'")
        if name.startswith("__"):
            raise MetricsError(f"{metric}: label name {name!r} is reserved", hint="Prometheus keeps '__' for itself")
        if name == _KEPT_FOR.get(kind):
            raise MetricsError(f"{metric}: a {kind} has its own label {name!r}", hint="Call yours something else")
    if len(set(names)) != len(names):
        raise MetricsError(f"{metric}: a label stands twice in {names!r}", hint="Name each once")
    return names


# `_count` is the suffix of histograms, says promtool; Prometheus has had names for these before OpenTelemetry had.
_OF_OLD = {"process.thread.count": "process_threads", "process.open_file_descriptor.count": "process_open_fds"}


@lru_cache(4096)
def exposed(name: str, unit: str, kind: str) -> str:
    """The family's name in Prometheus; a counter's ends in `_total`, as its sample's does."""
    if name in _OF_OLD:
        return _OF_OLD[name]
    tokens = [token for token in re.split(r"[^A-Za-z0-9:]+", name) if token]
    tokens += [word for word in _unit_words(unit) if word not in tokens]
    if kind == COUNTER:
        tokens = [token for token in tokens if token != "total"] + ["total"]  # noqa: S105 - a word of a name
    if kind == GAUGE and unit == "1" and "ratio" not in tokens:
        tokens.append("ratio")
    shown = "_".join(tokens)
    return f"_{shown}" if shown[:1].isdigit() else shown


def _unit_words(unit: str) -> list[str]:
    if "{" in unit:  # an annotation, as in {request}: not for names
        unit = re.sub(r"\{[^}]*\}", "", unit)
    main, _, per = unit.partition("/")
    words = [word for word in re.split(r"[^A-Za-z0-9]+", _UNITS.get(main, main)) if word]
    if per:
        words += ["per", *(word for word in re.split(r"[^A-Za-z0-9]+", _PER.get(per, per)) if word)]
    return words


@lru_cache(4096)
def label(name: str) -> str:
    """A label's name in Prometheus."""
    shown = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not shown or shown[0].isdigit():
        return f"key_{shown}"
    return f"key{shown}" if shown.startswith("__") else shown


def label_value(value: Any) -> str:
    """A label's value as text; booleans as JSON writes them, as the OTel rules ask."""
    if value.__class__ is str:
        return str(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
