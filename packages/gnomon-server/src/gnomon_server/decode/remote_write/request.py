"""A request of remote write -> rows of `series`, `samples`, `native_histograms`, `exemplars` and `metric_meta`.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and .../remote_write_spec_2_0/. A series whose labels
cannot be is refused with its points, a point by itself; everything else of the request is stored.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from gnomon_server.decode.otlp.fields import UnusualError
from gnomon_server.decode.otlp.records import batch_of
from gnomon_server.decode.otlp.wire import DecodeError
from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.exemplars import Exemplars
from gnomon_server.decode.remote_write.histograms import Histograms
from gnomon_server.decode.remote_write.points import NoPoints
from gnomon_server.decode.remote_write.samples import Samples
from gnomon_server.decode.remote_write.series import SeriesOf
from gnomon_server.decode.remote_write.version_1 import Request1
from gnomon_server.decode.remote_write.version_2 import Request2
from gnomon_server.errors import InvalidInput
from gnomon_server.model.batch import Batch, Rejections, Sender
from gnomon_server.model.tables import EXEMPLARS, NATIVE_HISTOGRAMS

_NS_PER_MS = 1_000_000


class Message(StrEnum):
    """The protobuf messages of the two versions, by the names they have in Content-Type."""

    V1 = "prometheus.WriteRequest"
    V2 = "io.prometheus.write.v2.Request"


_VERSIONS: dict[Message, type[Request1 | Request2]] = {Message.V1: Request1, Message.V2: Request2}


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows, and of what kind the points among them are."""

    batch: Batch
    samples: int
    histograms: int
    exemplars: int

    def less(self, points: int) -> "Decoded":
        """Without so many points, of which nobody knows the kind: samples first."""
        samples = min(points, self.samples)
        histograms = min(points - samples, self.histograms)
        batch = replace(self.batch, records=self.batch.records - samples - histograms)
        return replace(self, batch=batch, samples=self.samples - samples, histograms=self.histograms - histograms)


def decode_write(body: bytes, message: Message, tenant: str, context: WriteContext) -> Decoded:
    """The points of one request, decompressed.

    `InvalidInput` when the bytes are no such message, `TooLarge` when they hold more than one request may; series and
    points that cannot be stored are refused one by one (`batch.rejections`).
    """
    context.begin()
    with _undecodable_is_invalid(message, body):
        try:
            return _decode(body, message, tenant, context)
        except UnusualError:
            return _decode(_VERSIONS[message].messages.canonical(body), message, tenant, context)


@contextmanager
def _undecodable_is_invalid(message: Message, body: bytes) -> Iterator[None]:
    try:
        yield
    except (DecodeError, UnusualError) as error:
        raise InvalidInput(
            "undecodable_protobuf",
            f"the body is no {message}: {error}",
            where=f"request of {len(body)} bytes, decompressed",
            hint="check Content-Type, and that nothing cut the body short",
        ) from error


def _decode(body: bytes, message: Message, tenant: str, context: WriteContext) -> Decoded:
    rejections = Rejections()
    request = _VERSIONS[message](body, context)
    if body and request.is_empty:
        raise InvalidInput(
            "wrong_message",
            f"nothing in the body is a field of {message}",
            where="header Content-Type",
            hint="say the message that is sent: application/x-protobuf;proto=" + " or ;proto=".join(Message),
        )
    series = SeriesOf(request, context, rejections)
    some = request.series.has
    samples = Samples(request)
    histograms = Histograms(request) if some("histograms") else NoPoints(NATIVE_HISTOGRAMS)
    exemplars = Exemplars(request) if some("exemplars") else NoPoints(EXEMPLARS)
    points = samples, histograms, exemplars
    series.refuse_undefined(np.bincount(np.concatenate([kind.owner for kind in points]), minlength=len(series)))
    for kind in points:
        kind.check(series, context)
    used = [(kind.owner[kind.good], kind.at[kind.good], kind is histograms) for kind in points]
    tables = {
        "metric_meta": series.meta_rows(tenant),
        "series": series.series_rows(used, tenant),
        "samples": samples.rows(series),
        "native_histograms": histograms.rows(series),
        "exemplars": exemplars.rows(series),
    }
    written = [int(kind.good.sum()) for kind in points]
    batch = batch_of(tenant, written[0] + written[1], tables, rejections, _senders(request, series, points[:2]))
    return Decoded(batch, *written)


def _senders(
    request: Request1 | Request2, series: SeriesOf, points: tuple[Samples | Histograms | NoPoints, ...]
) -> tuple[Sender, ...]:
    """Each job's instances: how many of their points are stored, and the latest time that they wrote on one."""
    owner = np.concatenate([kind.owner for kind in points])
    at, good = np.concatenate([kind.at for kind in points]), np.concatenate([kind.good for kind in points])
    named = series.good[owner]
    owner, at, good = owner[named], at[named], good[named]
    if not len(owner):
        return ()
    number = series.rows["sender"][owner]
    order = np.argsort(number, kind="stable")
    first = np.flatnonzero(np.concatenate([[True], np.diff(number[order]) != 0]))
    newest = np.maximum.reduceat(at[order], first).tolist()
    counts = np.add.reduceat(good[order].astype(np.int64), first).tolist()
    names = map(request.known.sender, number[order][first].tolist())
    return tuple(
        Sender("metrics", service, instance, count, latest * _NS_PER_MS)
        for (service, instance), count, latest in zip(names, counts, newest, strict=True)
        if service
    )
