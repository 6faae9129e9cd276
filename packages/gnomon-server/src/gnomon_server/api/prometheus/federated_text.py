"""What `/federate` says in the text format 0.0.4, which has no native histograms: their series are left out."""

import re
from itertools import groupby

import numpy as np

from gnomon_server.api.prometheus.numbers import floats
from gnomon_server.model.series import STALE_BITS
from gnomon_server.query.promql.values import NAME, NO_ROW, Labels, Samples

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_METRIC, _LABEL = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*"), re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Newest = dict[Labels, bytes]
"""What is written of a series behind its labels."""


def places(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The series that are not gone and the places of their newest samples: int64[k] both."""
    series = np.flatnonzero(np.diff(samples.begins))
    last = samples.begins[1:][series] - 1
    here = samples.v[last].view(np.uint64) != STALE_BITS
    return series[here], last[here]


def newest(samples: Samples) -> Newest:
    """The value and the time."""
    series, last = places(samples)
    if samples.rows is not None:
        plain = samples.rows[last] == NO_ROW
        series, last = series[plain], last[plain]
    shown = zip(series.tolist(), floats(samples.v[last]), samples.ts[last].tolist(), strict=True)
    return {samples.labels[one]: b" %b %d\n" % (value, at_ms) for one, value, at_ms in shown}


def exposition(found: Newest) -> bytes:
    """The text, by metric."""
    lines = []
    for name, series in groupby(sorted(found), lambda labels: dict(labels).get(NAME, "")):
        if not name:
            continue
        lines.append(f"# TYPE {_quoted(name, _METRIC)} untyped\n".encode())
        lines += [_named(name, labels).encode() + found[labels] for labels in series]
    return b"".join(lines)


def shown_labels(labels: Labels) -> dict[str, str]:
    """All but the name.

    `instance` is always said, empty where it is not known, so that the scraper does not put its own in.
    """
    pairs = {key: value for key, value in labels if key != NAME}
    return pairs if "instance" in pairs else {**pairs, "instance": ""}


def _named(name: str, labels: Labels) -> str:
    pairs = shown_labels(labels).items()
    shown = ",".join(f'{_quoted(key, _LABEL)}="{value.translate(_ESCAPES)}"' for key, value in pairs)
    if _METRIC.fullmatch(name):
        return f"{name}{{{shown}}}"
    return f"{{{_quoted(name, _METRIC)},{shown}}}"


def _quoted(name: str, plain: re.Pattern[str]) -> str:
    return name if plain.fullmatch(name) else f'"{name.translate(_ESCAPES)}"'
