"""One suite for every Store: what store/interface.py promises of inserts."""

import asyncio
import math
import random
import string
import struct
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from rows import at, insert_of, log, resource, sample, span
from subjects import Subject, integral, plain

from gnomon_server.errors import GnomonError, RetryableError
from gnomon_server.model.series import STALE_BITS
from gnomon_server.model.tables import TABLES
from gnomon_server.store.interface import Insert

TEXTS = ["", "a", "\0", "nul\0within", "tab\tline\nquote'\\", "ünïcode 🕰", "x" * 3_000, "{}", "\\N", "NULL"]


def a_value(kind: pa.DataType, dice: random.Random) -> Any:  # noqa: PLR0911  (a table of types)
    """Any value of a type, extremes more often than chance has it."""
    if pa.types.is_map(kind):
        keys = dice.sample(string.ascii_letters, dice.choice([0, 0, 1, 9]))
        return [(key, a_value(kind.item_type, dice)) for key in keys]
    if pa.types.is_list(kind):
        return [a_value(kind.value_type, dice) for _ in range(dice.choice([0, 1, 5]))]
    if pa.types.is_fixed_size_binary(kind):
        return dice.choice([bytes(kind.byte_width), dice.randbytes(kind.byte_width), b"\xff" * kind.byte_width])
    if pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        return dice.choice(TEXTS)
    if pa.types.is_boolean(kind):
        return dice.random() < 0.5
    if pa.types.is_floating(kind):
        return dice.choice([0.0, -0.0, 1e-320, 1.7e308, -math.inf, math.nan, dice.random()])
    if pa.types.is_timestamp(kind):
        second = dice.randrange(at("2100-01-01") // 1_000_000_000)
        return second * 1_000_000_000 + dice.randrange(10**9) if kind.unit == "ns" else second * 1000 + 1
    if pa.types.is_date(kind):
        return dice.randrange(40_000)
    bits = kind.bit_width
    low = -(2 ** (bits - 1)) if pa.types.is_signed_integer(kind) else 0
    return dice.choice([0, 1, low, low + 2**bits - 1, dice.randrange(low, low + 2**bits)])


def expected(insert: Insert) -> list[Any]:
    """The rows of an Insert as a subject gives them back."""
    return [plain(row) for row in integral(insert.rows).to_pylist()]


def same(left: list[Any], right: list[Any]) -> bool:
    """Whether these are the same rows, in any order."""
    return Counter(repr(sorted(row.items())) for row in left) == Counter(repr(sorted(row.items())) for row in right)


@pytest.mark.parametrize("table", list(TABLES))
async def test_every_column_of_every_table_comes_back_as_it_was_given(subject: Subject, table: str) -> None:
    """Extremes, NUL bytes, empty and full maps of each type, not-a-number: bit for bit, over 130 years at once."""
    dice = random.Random(table)
    rows = [{column.name: a_value(column.type, dice) for column in TABLES[table]} for _ in range(60)]
    if table in ("series", "resources", "metric_meta"):  # where the engine keeps one row of a key
        key = "metric" if table == "metric_meta" else "id" if table == "series" else "rid"
        rows = [row | {key: f"m{number}" if key == "metric" else number} for number, row in enumerate(rows)]
    insert = insert_of(table, rows, ret=0)
    await subject.store.insert([insert])
    assert same(await subject.rows(table), expected(insert))
    assert await subject.rows(table, tenant=2) == []


async def test_rows_are_there_when_the_insert_returns(subject: Subject) -> None:
    """Again and again: no insert is acknowledged before it can be read."""
    for number in range(1, 11):
        await subject.store.insert([insert_of("logs", [log("2026-11-20", str(number))])])
        assert len(await subject.rows("logs")) == number


async def test_the_marker_of_a_stale_series_keeps_its_bits(subject: Subject) -> None:
    """It is one not-a-number among many."""
    stale = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
    await subject.store.insert([insert_of("samples", [sample("2026-11-20", v=stale)])])
    assert (await subject.rows("samples"))[0]["v"] == struct.pack("<Q", STALE_BITS)


async def test_one_batch_may_span_1970_to_2100(subject: Subject) -> None:
    """A row for each year of 130 in one insert."""
    days = [f"{year}-02-28" for year in range(1970, 2100)]
    await subject.store.insert([insert_of("spans", [span(day, number) for number, day in enumerate(days, 1)])])
    assert sorted(row["ts"] for row in await subject.rows("spans")) == sorted(map(at, days))


async def test_columns_left_out_take_their_defaults(subject: Subject) -> None:
    """In any order, and only those there are."""
    rows = pa.table({"v": [2.5], "ts": pa.array([0], pa.timestamp("ms", "UTC")), "tenant": pa.array([1], pa.uint32())})
    await subject.store.insert([Insert("samples", rows)])
    (row,) = await subject.rows("samples")
    assert (row["id"], row["ret"], row["ts"], row["v"]) == (0, 0, 0, struct.pack("<d", 2.5))


async def test_a_token_counts_once_and_so_does_what_is_derived(subject: Subject) -> None:
    """Repeated at once, later and after a crash; another token is another insert."""
    days = ["2026-11-19", "2026-11-20", "1999-01-01"]
    rows = [span(day, number, status=number % 3, dur=number) for number, day in enumerate(days * 2, 1)]
    insert = insert_of("spans", rows, token="one")
    await subject.store.insert([insert])
    once, traces = await subject.rows("spans"), await subject.traces()
    assert len(once) == len(traces) == 6
    await subject.store.insert([insert, insert])
    await subject.crash()
    await subject.store.insert([insert])
    assert same(await subject.rows("spans"), once)
    assert same(await subject.traces(), traces)
    await subject.store.insert([Insert("spans", insert.rows, "two")])
    assert len(await subject.rows("spans")) == 12
    assert [trace["spans"] for trace in await subject.traces()] == [2] * 6


async def test_without_a_token_a_repeated_insert_is_stored_again(subject: Subject) -> None:
    """Two equal log records are two."""
    insert = insert_of("logs", [log("2026-11-20")])
    await subject.store.insert([insert, insert])
    assert len(await subject.rows("logs")) == 2


async def test_what_is_derived_from_spans_follows_them(subject: Subject) -> None:
    """Start, end, errors, services and root of a trace whose spans came in several inserts."""
    trace = {"trace_id": b"t" * 16}
    await subject.store.insert(
        [insert_of("spans", [span("2026-11-20", 2, **trace, parent_id=b"p" * 8, status=2, dur=5)])]
    )
    root = span("2026-11-19", 3, **trace, service="gate", name="POST /", dur=2**63)
    await subject.store.insert([insert_of("spans", [root])])
    (found,) = await subject.traces()
    assert found["spans"] == 2
    assert found["errors"] == 1
    assert found["services"] == ["gate", "shop"]
    assert (found["root_service"], found["root_name"], found["root_dur"]) == ("gate", "POST /", 2**63)
    assert (found["start"], found["end"]) == (at("2026-11-19"), at("2026-11-20") + 5)


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("nothing", {"tenant": [1]}),
        ("logs", {"tenant": [1], "colour": ["red"]}),
        ("samples", {"tenant": [1], "id": ["no number"]}),
        ("logs; DROP TABLE logs", {"tenant": [1]}),
    ],
)
async def test_rows_that_do_not_fit_are_refused_for_good(subject: Subject, table: str, rows: dict[str, Any]) -> None:
    """An error that says not to try again; nothing of it is stored, and what came before it is."""
    before = insert_of("resources", [resource("2026-11-20")])
    with pytest.raises(GnomonError) as refused:
        await subject.store.insert([before, Insert(table, pa.table(rows))])
    assert not isinstance(refused.value, RetryableError)
    assert refused.value.code == "insert_failed"
    assert len(await subject.rows("resources")) == 1
    for known in ("logs", "samples"):
        assert await subject.rows(known) == []


async def test_inserts_and_reads_at_the_same_time(subject: Subject) -> None:
    """Thirty inserts of two tenants from concurrent tasks, read meanwhile: none lost, none mixed up."""

    async def write(number: int) -> None:
        tenant = number % 2 + 1
        rows = [log("2026-11-20", f"{tenant}-{number}-{line}") for line in range(50)]
        await subject.store.insert([insert_of("logs", rows, tenant=tenant, token=str(number))])
        assert len(await subject.rows("logs", tenant)) % 50 == 0

    await asyncio.gather(*map(write, range(30)))
    for tenant in (1, 2):
        bodies = [row["body"] for row in await subject.rows("logs", tenant)]
        assert len(set(bodies)) == len(bodies) == 750
        assert all(body.startswith(f"{tenant}-") for body in bodies)


async def test_a_cancelled_insert_is_whole_or_not_there_and_may_be_repeated(subject: Subject) -> None:
    """The caller leaves at some moment; the same token afterwards leaves every row once."""
    insert = insert_of("logs", [log("2026-11-20", str(number)) for number in range(2_000)], token="once")
    for pause_s in (0, 0.001, 0.004, 0.02):
        task = asyncio.create_task(subject.store.insert([insert]))
        await asyncio.sleep(pause_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await subject.rows("logs")) in (0, 2_000)
    await subject.store.insert([insert])
    assert len(await subject.rows("logs")) == 2_000


async def test_a_crash_loses_nothing_that_was_acknowledged(subject: Subject) -> None:
    """Rows of every table are there after the process has been killed."""
    inserts = [
        insert_of("resources", [resource("2026-11-20")]),
        insert_of("samples", [sample("2026-11-20")]),
        insert_of("spans", [span("2026-11-20", 1)]),
        insert_of("logs", [log("2026-11-20")]),
    ]
    await subject.store.insert(inserts)
    await subject.crash()
    for insert in inserts:
        assert same(await subject.rows(insert.table), expected(insert))
