"""What the three signals share: walking resources and scopes, checking times, the rows of resources."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon_server.decode.otlp.bounds import MAX_RECORDS, check_count
from gnomon_server.decode.otlp.context import MAX_NS, NS_PER_DAY, DecodeContext
from gnomon_server.decode.otlp.resources import Resource, resource_rows
from gnomon_server.decode.otlp.wire import DecodeError
from gnomon_server.errors import InvalidInput
from gnomon_server.model.batch import Batch, Rejections, Sender


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

    def add(self, resource: Resource, scope: str, count: int) -> None:
        """The next `count` records."""
        self.resources.append(resource)
        self.scopes.append(scope)
        self.counts.append(count)

    def rids(self) -> pa.Array:
        """The resource of each record."""
        return pa.array(np.repeat(np.array([resource.rid for resource in self.resources], np.uint64), self.counts))

    def services(self) -> pa.Array:
        """The service of each record, dictionary-encoded."""
        return self._dictionary([resource.service for resource in self.resources])

    def scope_texts(self) -> pa.Array:
        """The scope of each record (JSON text), dictionary-encoded."""
        return self._dictionary(self.scopes)

    def _dictionary(self, runs: list[str]) -> pa.Array:
        distinct = {value: number for number, value in enumerate(dict.fromkeys(runs))}
        indices = np.repeat(np.array([distinct[value] for value in runs], np.int32), self.counts)
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(list(distinct), pa.string()))


def scopes_of(request: Any, groups: str, scoped: str, context: DecodeContext) -> Iterator[tuple[Resource, str, Any]]:
    """Resource, scope (JSON text) and message of every scope in a request."""
    for group in getattr(request, groups):
        resource = context.known.resource(group.resource.SerializeToString())
        for message in getattr(group, scoped):
            schema_url = message.schema_url or group.schema_url
            yield resource, context.known.scope(message.scope.SerializeToString(), schema_url), message


def raw_records(
    request: Any, groups: str, scoped: str, records: str, context: DecodeContext
) -> tuple[list[bytes], Origins]:
    """The bytes of every span or log record in a request, and where each comes from; `TooLarge` past their bound."""
    raws: list[bytes] = []
    origins = Origins()
    for resource, scope, message in scopes_of(request, groups, scoped, context):
        found = getattr(message, records)
        check_count(len(raws) + len(found), MAX_RECORDS, records.replace("_", " "))
        origins.add(resource, scope, len(found))
        raws.extend(found)
    return raws, origins


def check_times(ns: np.ndarray, what: str, context: DecodeContext, rejections: Rejections) -> np.ndarray:
    """bool[n]: the times that can be stored; the others are refused by reason. Zero means "not set" in OTLP."""
    unset = ns == 0
    later = ns > min(context.latest_ns, MAX_NS)
    refuse(rejections, unset, "time_unset", f"{what} is 0, which OTLP defines as not set")
    if later.any():
        message = f"{what} {int(ns[later][0])} ns is later than the clock here allows (limits.future_s)"
        refuse(rejections, later, "time_in_future", message)
    result: np.ndarray = ~(unset | later)
    return result


def refuse(rejections: Rejections, bad: np.ndarray, reason: str, message: str) -> None:
    """Count the bad ones, bool[n]."""
    count = int(np.count_nonzero(bad))
    if count:
        rejections.refuse(reason, message, count)


def alter(rejections: Rejections, odd: np.ndarray, reason: str, message: str) -> None:
    """Count the ones that are stored otherwise than sent, bool[n]."""
    count = int(np.count_nonzero(odd))
    if count:
        rejections.alter(reason, message, count)


def resources_used(
    origins: Origins, ns: np.ndarray, keep: np.ndarray, tenant: str, context: DecodeContext, rejections: Rejections
) -> pa.RecordBatch:
    """Rows of `resources` that the store does not have yet, for each day on which the kept records fall."""
    days = (ns // np.uint64(NS_PER_DAY)).astype(np.int32)
    touched: dict[tuple[int, int], Resource] = {}
    end = 0
    for resource, count in zip(origins.resources, origins.counts, strict=True):
        start, end = end, end + count
        run = days[start:end][keep[start:end]]
        if len(run):
            first, last = int(run.min()), int(run.max())
            on = (first, last) if last - first <= 1 else np.unique(run).tolist()
            touched.update(((resource.rid, day), resource) for day in on)
    rids = np.array([rid for rid, _ in touched], np.uint64)
    unseen = context.seen.unseen(tenant, "resource", rids, np.array([day for _, day in touched], np.int32))
    used = [(resource, day) for ((_, day), resource), new in zip(touched.items(), unseen, strict=True) if new]
    return resource_rows(used, context.attributes, rejections)


def senders_of(signal: str, origins: Origins, ns: np.ndarray, keep: np.ndarray) -> tuple[Sender, ...]:
    """Who sent these records; `ns` are their times as sent, uint64[n], `keep` says which are stored, bool[n]."""
    filled = [number for number, count in enumerate(origins.counts) if count]
    if not filled:
        return ()
    starts = np.concatenate([[0], np.cumsum(origins.counts)])[filled]
    newest = np.maximum.reduceat(ns, starts).tolist()
    counts = np.add.reduceat(keep.astype(np.int64), starts).tolist()
    resources = [origins.resources[number] for number in filled]
    return one_each(
        Sender(signal, resource.service, resource.instance, count, latest)
        for resource, count, latest in zip(resources, counts, newest, strict=True)
    )


def one_each(senders: Iterable[Sender]) -> tuple[Sender, ...]:
    """One entry for each service and instance."""
    found: dict[tuple[str, str, str], Sender] = {}
    for sender in senders:
        known = found.get(sender[:3])
        if known is not None:
            sender = Sender(*sender[:3], known.records + sender.records, max(known.newest_ns, sender.newest_ns))  # noqa: PLW2901  (with what is known)
        found[sender[:3]] = sender
    return tuple(found.values())


def batch_of(
    tenant: str,
    records: int,
    tables: dict[str, pa.RecordBatch],
    rejections: Rejections,
    senders: tuple[Sender, ...] = (),
) -> Batch:
    """The tables that have rows, in the order of writing."""
    filled = {name: table for name, table in tables.items() if table.num_rows}
    return Batch(tenant, filled, records, sum(table.nbytes for table in filled.values()), rejections, senders)


def kept(rows: pa.RecordBatch, keep: np.ndarray) -> pa.RecordBatch:
    """The rows where `keep` is True."""
    return rows if keep.all() else rows.filter(pa.array(keep))
