"""What spans and log records share: walking resources and scopes, checking ids and times, text columns."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError

from gnomon_server.decode.otlp import values
from gnomon_server.decode.otlp.context import MAX_NS, NS_PER_DAY, DecodeContext
from gnomon_server.decode.otlp.resources import Resource, resource_rows
from gnomon_server.errors import InvalidInput
from gnomon_server.model.batch import Rejections

DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@contextmanager
def undecodable_is_invalid(what: str, body: bytes) -> Iterator[None]:
    """Bytes that are no such message, at any depth, are `InvalidInput` (HTTP 400): the request is refused whole."""
    try:
        yield
    except DecodeError as error:
        raise InvalidInput(
            "undecodable_protobuf",
            f"the body is not an OTLP {what} request: {error}",
            where=f"{what} request of {len(body)} bytes",
            hint="check Content-Type and Content-Encoding, and that nothing cut the body short",
        ) from error


@dataclass(slots=True)
class Origins:
    """Each record's resource, service and scope, as run lengths: records of one scope stand together."""

    resources: list[Resource] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def column(self, of: Callable[[Resource], Any], dtype: Any) -> np.ndarray:
        """One value a record from its resource."""
        return np.repeat(np.array([of(resource) for resource in self.resources], dtype), self.counts)

    def service(self) -> pa.Array:
        """The service of each record, dictionary-encoded."""
        return self._dictionary([resource.service for resource in self.resources])

    def scope(self) -> pa.Array:
        """The scope of each record (JSON text), dictionary-encoded."""
        return self._dictionary(self.scopes)

    def _dictionary(self, runs: list[str]) -> pa.Array:
        distinct = {value: number for number, value in enumerate(dict.fromkeys(runs))}
        indices = np.repeat(np.array([distinct[value] for value in runs], np.int32), self.counts)
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(distinct), pa.string()))


def walk(request: Any, context: DecodeContext) -> tuple[list[Any], Origins]:
    """All records of a request, flat, and where each comes from."""
    records: list[Any] = []
    origins = Origins()
    for group in request.resources:
        resource = context.known.resource(group.resource)
        for scoped in group.scopes:
            count = len(scoped.records)
            if count:
                records.extend(scoped.records)
                origins.resources.append(resource)
                origins.scopes.append(context.known.scope(scoped.scope, scoped.schema_url or group.schema_url))
                origins.counts.append(count)
    return records, origins


def attribute_columns(records: list[Any], context: DecodeContext, rejections: Rejections) -> list[pa.Array]:
    """The five typed maps of the records' attributes."""
    each = [record.attributes for record in records]
    numbers = context.attributes.intern(list(itertools.chain.from_iterable(each)))
    counts = np.fromiter(map(len, each), np.int64, len(each))
    return context.attributes.columns(numbers, counts, rejections)


def ids(raws: list[bytes], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-width ids: uint8[n, width] and bool[n], False where an id has another width (its row is then zero)."""
    if set(map(len, raws)) <= {width}:
        return np.frombuffer(b"".join(raws), np.uint8).reshape(len(raws), width), np.ones(len(raws), np.bool_)
    right = np.array([len(raw) == width for raw in raws], np.bool_)
    fixed = b"".join(raw if len(raw) == width else bytes(width) for raw in raws)
    return np.frombuffer(fixed, np.uint8).reshape(len(raws), width), right


def id_column(matrix: np.ndarray) -> pa.Array:
    """uint8[n, width] as fixed-size binary."""
    matrix = np.ascontiguousarray(matrix)
    return pa.Array.from_buffers(pa.binary(matrix.shape[1]), len(matrix), [None, pa.py_buffer(matrix)])


def text_column(raws: list[bytes]) -> pa.Array:
    """Raw UTF-8 as text; only when some of it is invalid is it mended value by value."""
    column = pa.array(raws, pa.binary())
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([values.text(raw) for raw in raws], pa.string())


def times(raws: list[int]) -> np.ndarray:
    """Nanoseconds since the epoch as uint64[n]."""
    return np.array(raws, np.uint64)


def timestamp_column(ns: np.ndarray) -> pa.Array:
    """uint64 nanoseconds as timestamp[ns, UTC]."""
    return pa.array(ns.astype(np.int64)).view(pa.timestamp("ns", tz="UTC"))


def check_times(ns: np.ndarray, what: str, context: DecodeContext, rejections: Rejections) -> np.ndarray:
    """bool[n]: the times that can be stored; the others are refused by reason. Zero means "not set" in OTLP."""
    unset = ns == 0
    later = ns > min(context.latest_ns, MAX_NS)
    if unset.any():
        rejections.refuse("time_unset", f"{what} is 0, which OTLP defines as not set", int(unset.sum()))
    if later.any():
        rejections.refuse(
            "time_in_future",
            f"{what} {int(ns[later][0])} ns is later than the clock here allows (limits.future)",
            int(later.sum()),
        )
    return ~(unset | later)


def resources_used(
    origins: Origins, ns: np.ndarray, tenant: str, context: DecodeContext, rejections: Rejections
) -> pa.RecordBatch:
    """Rows of `resources` that the store does not have yet, for each day on which the records fall."""
    days = (ns // NS_PER_DAY).astype(np.int32)
    touched: dict[int, tuple[Resource, set[int]]] = {}
    end = 0
    for resource, count in zip(origins.resources, origins.counts, strict=True):
        start, end = end, end + count
        run = days[start:end]
        first, last = int(run.min()), int(run.max())
        covered = {first, last} if last - first <= 1 else set(np.unique(run).tolist())
        touched.setdefault(resource.rid, (resource, set()))[1].update(covered)
    rids = np.array([rid for rid, (_, on) in touched.items() for _ in on], np.uint64)
    on_days = np.array([day for _, on in touched.values() for day in on], np.int32)
    unseen = context.seen.unseen(tenant, "resource", rids, on_days)
    used = [
        (touched[int(rid)][0], np.array([day])) for rid, day in zip(rids[unseen], on_days[unseen], strict=True)
    ]
    return resource_rows(used, context.attributes, rejections)
