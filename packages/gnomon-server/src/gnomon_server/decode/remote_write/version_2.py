"""A request of remote write 2.0: its series are named by the lasting numbers of their symbols."""

from typing import Any

import numpy as np

from gnomon_server.decode.otlp.bounds import MAX_PARTS, check_count
from gnomon_server.decode.otlp.values import text
from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.known import Keys
from gnomon_server.decode.remote_write.labels import TYPES, Pairs, RefusedError, family_of
from gnomon_server.decode.remote_write.metadata import Description
from gnomon_server.decode.remote_write.scan import packed_varints, scan, stretches, whole
from gnomon_server.decode.remote_write.wire import V2
from gnomon_server.errors import InvalidInput

_HEAD = 3  # type, help, unit, before the labels
_MAX_SYMBOLS = 1_000_000


class Request2:
    """`io.prometheus.write.v2.Request`."""

    messages = V2

    def __init__(self, body: bytes, context: WriteContext) -> None:
        request = scan(V2, "Request", whole(body))
        _, series = request.repeated("timeseries")
        _, symbols = request.repeated("symbols")
        check_count(len(series.starts), context.limits.series_per_request, "series")
        check_count(len(symbols.starts), _MAX_SYMBOLS, "symbols")
        self.is_empty = not len(series.starts) and not len(symbols.starts)
        self.known = context.known_2
        self._lasting = context.symbols
        self._symbols: list[bytes] = symbols.raws()
        if self._symbols and self._symbols[0]:
            raise InvalidInput(
                "symbols_misplaced", "the first symbol must be the empty string, which stands for what is not given",
                where="symbols[0]",
            )  # fmt: skip
        self.series = scan(V2, "TimeSeries", series)
        self.started = self.series.varints("created_timestamp").view(np.int64)
        self.keys = self._keys()

    def _keys(self) -> Keys:
        counts, refs = packed_varints(self.series.pieces("labels_refs"))
        described = scan(V2, "Metadata", self.series.pieces("metadata"))
        types, *texts = (described.varints(name) for name in ("type", "help_ref", "unit_ref"))
        types = np.where(types < len(TYPES), types, 0).astype(np.uint32)
        absent = np.uint64(len(self._symbols))
        owner = np.repeat(np.arange(len(counts)), counts)
        self._missing = np.bincount(owner[refs >= absent], minlength=len(counts)).astype(np.bool_)
        for column in texts:
            self._missing |= (column >= absent) & (column > 0)
        self._odd, self.label_counts = counts % 2 > 0, counts // 2
        # One more, for references to nothing: their series are refused.
        lasting = np.append(self._lasting.numbers(self._symbols), np.uint32(0))
        refs, texts = (np.minimum(refs, absent), [np.minimum(column, absent) for column in texts])
        widths = counts + _HEAD
        ends = np.cumsum(widths)
        begins = ends - widths
        flat = np.empty(int(widths.sum()), np.uint32)
        flat[begins] = types
        for place, column in enumerate(texts, 1):
            flat[begins + place] = lasting[column.astype(np.int64)]
        flat[stretches(begins + _HEAD, counts)] = lasting[refs.astype(np.int64)]
        named = ~(self._missing | self._odd)
        return Keys(flat.view(np.uint8), begins * 4, np.where(named, ends, begins) * 4)

    def fault(self, position: int) -> RefusedError | None:
        """Why a series has no key."""
        if self._odd[position]:
            return RefusedError("label_refs_odd", "labels_refs holds names and values, so their number is even")
        if self._missing[position]:
            many = len(self._symbols)
            return RefusedError("symbol_missing", f"a reference points past the end of the {many:,} symbols")
        return None

    def pairs(self, key: bytes) -> Pairs:
        """The labels of a series."""
        texts = [self._lasting.text(number) for number in np.frombuffer(key, np.uint32)[_HEAD:].tolist()]
        return list(zip(texts[::2], texts[1::2], strict=True))

    def description(self, key: bytes, metric: str) -> Description | None:
        """What a series says about its metric; None when that is nothing."""
        type_, help_, unit = np.frombuffer(key, np.uint32, _HEAD).tolist()
        if not type_ and not help_ and not unit:
            return None
        name = TYPES[type_]
        return Description(family_of(name, metric), name, self._given(unit), self._given(help_))

    def _given(self, number: int) -> str:
        return text(self._lasting.text(number)) if number else ""

    def descriptions(self) -> list[Description]:
        """What the request says about metrics beside the series: nothing."""
        return []

    def exemplar_pairs(self, exemplar: Any) -> Pairs:
        """The labels of an exemplar; IndexError when one is no symbol."""
        check_count(len(exemplar.labels_refs), MAX_PARTS, "labels of an exemplar")
        texts = [self._symbols[ref] for ref in exemplar.labels_refs]
        return list(zip(texts[::2], texts[1::2], strict=False))
