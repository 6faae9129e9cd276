"""The server's own metrics, logs and traces as batches of the tenant `_gnomon`.

They enter at the same door as everybody's. Writing them is not observed again, or it would never end: commits and
requests of this tenant leave no spans and no durations.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import xxhash

from gnomon_server.model.batch import Batch, Rejections
from gnomon_server.model.series import Kind, series_id
from gnomon_server.model.tables import LOGS, METRIC_META, RESOURCES, SAMPLES, SERIES, SPANS
from gnomon_server.selfmon.events import Event
from gnomon_server.selfmon.registry import DECLARED, Labels, Registry
from gnomon_server.selfmon.spans import OwnSpan

OWN_TENANT = "_gnomon"
_SERVICE = "gnomon"
_NS_PER_DAY = 86_400_000_000_000
_KINDS = {"counter": Kind.COUNTER, "gauge": Kind.GAUGE}
_ERROR = 2
_INTERNAL = 1


class OwnTelemetry:
    """Turns what selfmon has gathered into batches. `instance` tells servers apart."""

    def __init__(self, version: str, instance: str) -> None:
        attributes = {"service.name": _SERVICE, "service.version": version, "service.instance.id": instance}
        self._attributes = list(attributes.items())
        self._labels = {"job": _SERVICE, "instance": instance}
        self._rid = xxhash.xxh3_64_intdigest(repr(sorted(attributes.items())).encode())

    def metrics(self, registry: Registry, now_ns: int) -> Batch:
        """One sample of every series."""
        rows: list[tuple[str, str, int, Labels, float]] = []
        for name, kind, labels, value in registry.numbers():
            rows.append((name, name, _KINDS[kind], labels, value))
        for name, labels, histogram in registry.histograms():
            counts = np.cumsum(histogram.counts).tolist()
            for bound, count in zip((*map(repr, histogram.bounds), "+Inf"), counts, strict=True):
                rows.append((name, f"{name}_bucket", Kind.BUCKET, (*labels, ("le", bound)), count))
            rows.append((name, f"{name}_sum", Kind.HISTOGRAM_SUM, labels, histogram.sum))
            rows.append((name, f"{name}_count", Kind.HISTOGRAM_COUNT, labels, counts[-1]))
        labelled = [
            (name, metric, kind, {**dict(labels), **self._labels}, value) for name, metric, kind, labels, value in rows
        ]
        ids = [series_id(metric, labels) for _, metric, _, labels, _ in labelled]
        series = [
            {
                "day": now_ns // _NS_PER_DAY, "metric": metric, "id": identity, "kind": int(kind), "rid": self._rid,
                "service": _SERVICE, "scope": "", "name": name, "labels": sorted(labels.items()), **_empty_maps(),
            }
            for identity, (name, metric, kind, labels, _) in zip(ids, labelled, strict=True)
        ]  # fmt: skip
        samples = [
            {"id": identity, "ts": now_ns // 1_000_000, "v": float(value), "start": 0, "sent": 0.0, "exact": 0}
            for identity, (*_, value) in zip(ids, labelled, strict=True)
        ]
        meta = [
            {
                "metric": name, "type": kind, "unit": "", "help": text, "temporality": 2,
                "monotonic": kind == "counter", "s": [],
            }
            for name, (kind, text) in DECLARED.items()
        ]  # fmt: skip
        return self._batch(
            now_ns,
            metric_meta=_rows(meta, METRIC_META),
            series=_rows(series, SERIES),
            samples=_rows(samples, SAMPLES),
            records=len(samples),
        )

    def logs(self, events: list[Event], now_ns: int) -> Batch:
        """One record an event."""
        rows = [
            {
                "ts": event.at_ns, "observed": event.at_ns, "service": _SERVICE, "sev": event.severity, "sev_text": "",
                "event": event.name, "body": f"{event.name} {event.detail}".strip(), "body_json": False,
                "trace_id": bytes(16), "span_id": bytes(8), "flags": 0, "rid": self._rid, "scope": "",
                **_empty_maps(), "dropped": 0,
            }
            for event in events
        ]  # fmt: skip
        return self._batch(now_ns, logs=_rows(rows, LOGS), records=len(rows))

    def spans(self, spans: list[OwnSpan], now_ns: int) -> Batch:
        """One row a span."""
        rows = [
            {
                "ts": span.start_ns, "dur": span.duration_ns, "trace_id": span.trace_id, "span_id": span.span_id,
                "parent_id": bytes(8), "state": "", "flags": 0, "service": _SERVICE, "name": span.name,
                "kind": _INTERNAL, "status": _ERROR if span.error else 0, "status_msg": span.error, "rid": self._rid,
                "scope": "", **_empty_maps(),
                "s": [(key, value) for key, value in span.attributes.items() if isinstance(value, str)],
                "i": [(key, value) for key, value in span.attributes.items() if isinstance(value, int)],
                "dropped": 0, "ev_ts": [], "ev_name": [], "ev_j": [], "ln_trace": [], "ln_span": [], "ln_j": [],
            }
            for span in spans
        ]  # fmt: skip
        return self._batch(now_ns, spans=_rows(rows, SPANS), records=len(rows))

    def _batch(self, now_ns: int, records: int, **tables: pa.RecordBatch) -> Batch:
        resource = {"day": now_ns // _NS_PER_DAY, "rid": self._rid, "service": _SERVICE, **_empty_maps()}
        rows = {"resources": _rows([{**resource, "s": self._attributes}], RESOURCES), **tables}
        kept = {name: table for name, table in rows.items() if table.num_rows} if records else {}
        return Batch(OWN_TENANT, kept, records, sum(table.nbytes for table in kept.values()), Rejections())


def _empty_maps() -> dict[str, list[tuple[str, str]]]:
    return {name: [] for name in "sifbj"}


def _rows(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema)
