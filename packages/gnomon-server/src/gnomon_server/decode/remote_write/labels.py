"""The labels of one series: read once, checked, and what they say about it."""

from dataclasses import dataclass

from gnomon_server.model.series import Kind

_NAME = b"__name__"
_SHOWN = 60

Pairs = list[tuple[bytes, bytes]]
"""Names and values as sent, in order."""

TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
"""Prometheus' metric types, by their number in both versions."""

_SUFFIXES = {
    "histogram": {"_bucket": Kind.BUCKET, "_sum": Kind.HISTOGRAM_SUM, "_count": Kind.HISTOGRAM_COUNT},
    "gaugehistogram": {"_bucket": Kind.BUCKET, "_gsum": Kind.HISTOGRAM_SUM, "_gcount": Kind.HISTOGRAM_COUNT},
    "summary": {"_sum": Kind.SUMMARY_SUM, "_count": Kind.SUMMARY_COUNT},
}
_KINDS = {
    "counter": Kind.COUNTER,
    "gauge": Kind.GAUGE,
    "stateset": Kind.GAUGE,
    "info": Kind.INFO,
    "summary": Kind.QUANTILE,
}


class RefusedError(Exception):
    """These labels name no series: why (`reason`), and which label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class LabelLimits:
    """Of one series."""

    count: int
    name_bytes: int
    value_bytes: int


def checked(pairs: Pairs, limits: LabelLimits) -> tuple[str, dict[str, str]]:
    """The metric's name and the labels without it; `RefusedError` when Prometheus' data model has no such series.

    Names must be UTF-8, not empty, ascending and unique, values UTF-8 (remote write 2.0, "Series Labels"). A label
    with an empty value is as good as none.
    """
    names = [name for name, _ in pairs]
    if names != sorted(set(names)) or not _fit(pairs, limits):
        _find_fault(pairs, limits)
    try:
        labels = {name.decode(): value.decode() for name, value in pairs}
    except UnicodeDecodeError:
        _find_fault(pairs, limits)
        raise
    metric = labels.pop("__name__", "")
    if "" in labels.values():
        labels = {name: value for name, value in labels.items() if value}
    if not metric:
        raise RefusedError("metric_name_missing", f"no label {_NAME.decode()} names the metric")
    return metric, labels


def too_many(count: int, limits: LabelLimits) -> RefusedError | None:
    """The refusal of so many labels."""
    if count <= limits.count:
        return None
    return RefusedError("too_many_labels", f"{count:,} labels, at most {limits.count:,} may be")


def _fit(pairs: Pairs, limits: LabelLimits) -> bool:
    """Whether no name is empty, and no name and no value too long."""
    return all(0 < len(name) <= limits.name_bytes and len(value) <= limits.value_bytes for name, value in pairs)


def _find_fault(pairs: Pairs, limits: LabelLimits) -> None:
    """Raise what is wrong with the first bad label."""
    previous = None
    for number, (name, value) in enumerate(pairs):
        spot = f"labels[{number}] ({_shown(name)})"
        if len(name) > limits.name_bytes or len(value) > limits.value_bytes:
            raise _too_long(spot, name, value, limits)
        if not name:
            raise RefusedError("label_name_empty", f"{spot} has no name")
        if previous is not None and name <= previous:
            raise _disordered(spot, name, previous, pairs)
        previous = name
        _check_text(value, "label_value_invalid", f"the value of {spot}")
        _check_text(name, "label_name_invalid", f"the name of {spot}")


def described(pairs: Pairs) -> str:
    """A series for a message: its metric, or its first labels."""
    named = dict(pairs).get(_NAME)
    if named:
        return _shown(named)
    first = ", ".join(f"{_shown(name)}={_shown(value)}" for name, value in pairs[:3])
    return f"{{{first}{', ...' if len(pairs) > 3 else ''}}}"  # noqa: PLR2004 - those shown above


def kind_of(type_: str, metric: str) -> int:
    """The kind of a series whose metric is of this type."""
    for suffix, kind in _SUFFIXES.get(type_, {}).items():
        if metric.endswith(suffix):
            return kind
    return _KINDS.get(type_, Kind.UNKNOWN)


def family_of(type_: str, metric: str) -> str:
    """The name of the family that a series of this type belongs to, by which its description is found."""
    for suffix in _SUFFIXES.get(type_, {}):
        if metric.endswith(suffix):
            return metric.removesuffix(suffix)
    return metric


def _too_long(spot: str, name: bytes, value: bytes, limits: LabelLimits) -> RefusedError:
    if len(name) > limits.name_bytes:
        message = f"the name of {spot} is {len(name):,} bytes, at most {limits.name_bytes:,} may be"
        return RefusedError("label_name_too_long", message)
    message = f"the value of {spot} is {len(value):,} bytes, at most {limits.value_bytes:,} may be"
    return RefusedError("label_value_too_long", message)


def _disordered(spot: str, name: bytes, previous: bytes, pairs: Pairs) -> RefusedError:
    if [other for other, _ in pairs].count(name) > 1:
        return RefusedError("label_duplicate", f"{spot} stands there more than once")
    return RefusedError("labels_unsorted", f"{spot} stands behind {_shown(previous)}; labels are sorted by name")


def _check_text(raw: bytes, reason: str, what: str) -> None:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(reason, f"{what} is not UTF-8 (byte {error.start})") from error


def _shown(raw: bytes) -> str:
    cut = raw[:_SHOWN].decode(errors="replace")
    return repr(cut) + ("..." if len(raw) > _SHOWN else "")
