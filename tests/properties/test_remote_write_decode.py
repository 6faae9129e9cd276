"""Remote write: whatever a sender writes is stored as a plain reading of it says; whatever it is, nothing breaks."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_write_requests import NOW_MS, REQUESTS, bits, histograms_of, identity, samples_of
from tests import remote_write
from tests.remote_write import V1, V2

from gnomon_server.decode.remote_write.context import WriteContext
from gnomon_server.decode.remote_write.request import Decoded, Message, decode_write
from gnomon_server.errors import InvalidInput, TooLarge

UNTIMED = settings(deadline=None, max_examples=60)
VERSIONS = pytest.mark.parametrize("message", [V1, V2])


def decoded(body: bytes, message: str, context: WriteContext | None = None) -> Decoded:
    """The batch of a request, at a fixed time."""
    return decode_write(body, Message(message), "t", context or WriteContext(latest_ms=NOW_MS))


def rows(found: Decoded, table: str) -> list[dict[str, Any]]:
    """The rows of a table, times in milliseconds."""
    batch = found.batch.tables.get(table)
    if batch is None:
        return []
    columns = {name: batch[name] for name in batch.schema.names}
    for name in ("ts", "start"):
        if name in columns:
            columns[name] = columns[name].cast("int64")
    return [
        dict(zip(columns, row, strict=True)) for row in zip(*(c.to_pylist() for c in columns.values()), strict=True)
    ]


@VERSIONS
@UNTIMED
@given(requested=REQUESTS)
def test_every_point_is_stored_as_sent(message: str, requested: list[dict[str, Any]]) -> None:
    """Samples bit by bit, histograms bucket by bucket, under the identity of the model."""
    found = decoded(remote_write.request(message, requested), message)
    assert not found.batch.rejections.refused, found.batch.rejections.text()
    samples = [(row["id"], row["ts"], bits(row["v"]), row["start"]) for row in rows(found, "samples")]
    assert samples == samples_of(requested, starts=message == V2)
    histograms = [
        (
            row["id"], row["ts"], row["schema"], row["count"], bits(row["sum"]), row["zero_count"], row["hint"],
            row["is_float"], dict(zip(row["p_idx"], row["p_cnt"], strict=True)),
            dict(zip(row["n_idx"], row["n_cnt"], strict=True)), row["bounds"],
        )
        for row in rows(found, "native_histograms")
    ]  # fmt: skip
    assert histograms == histograms_of(requested)
    exemplars = [(row["id"], row["ts"], bits(row["v"])) for row in rows(found, "exemplars")]
    assert exemplars == [(identity(one), at, bits(v)) for one in requested for _, v, at in one["exemplars"]]
    assert (found.samples, found.histograms, found.exemplars) == (len(samples), len(histograms), len(exemplars))


@VERSIONS
@UNTIMED
@given(requested=REQUESTS)
def test_each_series_is_described_on_each_day(message: str, requested: list[dict[str, Any]]) -> None:
    """A row for each series and day with a point, with the labels as sent."""
    found = decoded(remote_write.request(message, requested), message)
    described = {(row["id"], row["day"].toordinal() - 719_163): row for row in rows(found, "series")}
    expected = {}
    for one in requested:
        times = [at for _, at, _ in one["samples"]] + [at for _, _, at in one["exemplars"]]
        for at in times + [histogram["timestamp"] for histogram in one["histograms"]]:
            expected[identity(one), at // 86_400_000] = one["labels"]
    assert described.keys() == expected.keys()
    for key, labels in expected.items():
        row = described[key]
        assert row["metric"] == labels["__name__"]
        given_labels = {name: value for name, value in labels.items() if value and name != "__name__"}
        assert dict(row["labels"]) == given_labels
        assert [name for name, _ in row["labels"]] == sorted(given_labels)


@VERSIONS
@UNTIMED
@given(requested=REQUESTS, other=REQUESTS)
def test_what_is_remembered_changes_nothing(
    message: str, requested: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    """A context that has read other requests reads the next one as a fresh one does."""
    context = WriteContext(latest_ms=NOW_MS)
    for body in (remote_write.request(message, other), remote_write.request(message, requested)):
        again = decoded(body, message, context)
    fresh = decoded(remote_write.request(message, requested), message)
    for table in ("samples", "native_histograms", "exemplars"):
        assert repr(rows(again, table)) == repr(rows(fresh, table))
    assert {row["id"] for row in rows(again, "series")} == {row["id"] for row in rows(fresh, "series")}


@VERSIONS
@UNTIMED
@given(requested=REQUESTS, unknown=st.booleans())
def test_an_unusual_encoding_says_the_same(message: str, requested: list[dict[str, Any]], unknown: bool) -> None:
    """Samples between labels, numbers not packed, unknown fields: legal, and read as upb reads them."""
    plain = remote_write.request(message, requested)
    request = (remote_write.PRW1["WriteRequest"] if message == V1 else remote_write.PRW2["Request"]).FromString(plain)
    field = 10 if message == V1 else 42  # the tag of `timeseries`
    body = b"".join(_field(34, symbol.encode()) for symbol in (request.symbols if message == V2 else ()))
    for series in request.timeseries:
        parts = b"".join(_field(tag, part) for tag, part in _parts(series, message))
        body += _field(field, (b"\xfa\x7f\x03abc" if unknown else b"") + parts)
    expected, found = decoded(plain, message), decoded(body, message)
    for table in ("samples", "series"):
        assert sorted(map(repr, rows(found, table))) == sorted(map(repr, rows(expected, table)))


def _parts(series: Any, message: str) -> list[tuple[int, bytes]]:
    """Labels and samples of a series as fields; in 2.0 each reference and the time of creation by itself."""
    samples = [(18, sample.SerializeToString()) for sample in series.samples]
    others = [(tag, each.SerializeToString()) for tag, name in _OTHERS[message] for each in getattr(series, name)]
    if message == V1:
        labels = [(10, label.SerializeToString()) for label in series.labels]
        return [labels[0], *others, *samples, *labels[1:]]
    references = [(8, _varint(ref)) for ref in series.labels_refs]
    return [*references, *samples, *others, (48, _varint(series.created_timestamp))]


_OTHERS = {V1: ((26, "exemplars"), (34, "histograms")), V2: ((26, "histograms"), (34, "exemplars"))}


def _field(tag: int, payload: bytes) -> bytes:
    """A field; what is length-delimited gets its length."""
    return _varint(tag) + (_varint(len(payload)) if tag & 7 == 2 else b"") + payload


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


@VERSIONS
@UNTIMED
@given(requested=REQUESTS, data=st.data())
def test_damaged_requests_are_refused_or_read(
    message: str, requested: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Bytes changed, cut or added: rows or an error of ours, never another, and the next request is read."""
    context = WriteContext(latest_ms=NOW_MS)
    body = bytearray(remote_write.request(message, requested))
    for _ in range(data.draw(st.integers(1, 4))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    with contextlib.suppress(InvalidInput, TooLarge):
        decoded(bytes(body[:cut]) + data.draw(st.binary(max_size=8)), message, context)
    again = decoded(remote_write.request(message, requested), message, context)
    assert again.samples == len(samples_of(requested, starts=False))


@VERSIONS
@UNTIMED
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read(message: str, body: bytes) -> None:
    """Bytes that nobody encoded: no error but ours."""
    with contextlib.suppress(InvalidInput, TooLarge):
        decoded(body, message)
