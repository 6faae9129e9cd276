"""The client of ClickHouse's HTTP interface, on the real engine; and what its error codes mean to a caller."""

# ruff: noqa: ASYNC221 - mount and umount are over at once

import asyncio
import math
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rows import insert_of, log

from gnomon_server.errors import (
    DeadlineExceeded,
    GnomonError,
    Internal,
    InvalidInput,
    TooLarge,
    Unavailable,
)
from gnomon_server.store.clickhouse import Address, ClickHouse, is_lasting
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits
from gnomon_server.store.refusals import insert_error, query_error
from gnomon_server.store.supervisor import EngineSettings

ODD = "nul\0 tab\t line\n return\r back\b feed\f quote' double\" slash\\ percent% amp& plus+ ünï 🕰"
PARAMETERS: list[tuple[str, Any, Any]] = [
    ("String", ODD, ODD),
    ("String", "", ""),
    ("Nullable(String)", None, None),
    ("Nullable(String)", "\\N", "\\N"),
    ("UInt64", 2**64 - 1, 2**64 - 1),
    ("Int64", -(2**63), -(2**63)),
    ("Bool", True, True),
    ("Float64", 0.1, 0.1),
    ("Float64", -math.inf, -math.inf),
    ("Array(String)", [ODD, "", "a,b]"], [ODD, "", "a,b]"]),
    ("Array(UInt32)", (1, 2), [1, 2]),
    ("Array(Nullable(String))", ["a", None], ["a", None]),
    ("Array(Array(Bool))", [[True], []], [[True], []]),
    ("Map(String, Float64)", {ODD: 1.5}, [(ODD, 1.5)]),
    ("FixedString(4)", b"\x00\xff'\\", b"\x00\xff'\\"),
    ("Array(FixedString(2))", [b"\x00\xff"], [b"\x00\xff"]),
]


@pytest.mark.parametrize(("kind", "given", "expected"), PARAMETERS)
async def test_parameters_arrive_as_they_were_given(store: DurableStore, kind: str, given: Any, expected: Any) -> None:
    """Text with everything that could end it, nulls, numbers at their ends, lists and maps."""
    found, _ = await store.query(f"SELECT {{p:{kind}}} AS p", {"p": given})
    assert found["p"].to_pylist() == [expected]


async def test_what_is_no_parameter_is_a_mistake_of_ours(store: DurableStore) -> None:
    """A type error, not a wrong query."""
    with pytest.raises(TypeError, match="object is no query parameter"):
        await store.query("SELECT 1", {"p": object()})


async def test_settings_end_with_their_statement(store: DurableStore) -> None:
    """Many at once, each with its own; afterwards none is left."""

    async def read(value: int) -> int:
        found, _ = await store.query("SELECT getSetting('max_block_size') AS v", settings={"max_block_size": value})
        return found["v"][0].as_py()

    values = list(range(1_000, 1_040))
    assert await asyncio.gather(*map(read, values)) == values
    found, _ = await store.query("SELECT getSetting('max_block_size') AS v")
    assert found["v"][0].as_py() not in values


async def test_text_search_is_right_where_some_parts_are_not_indexed_yet(store: DurableStore) -> None:
    """An insert leaves the text indexes to the first merge; a search finds the same in both kinds of part."""
    merged = [log("2026-11-20", f"Merged Line {number}", s=[("key", "value")]) for number in range(100)]
    await store.insert([insert_of("logs", merged[:50])])
    await store.insert([insert_of("logs", merged[50:])])
    await store.command("OPTIMIZE TABLE logs FINAL")
    await store.insert([insert_of("logs", [log("2026-11-20", "Fresh line", s=[("key", "value")])])])
    indexed, _ = await store.query(
        "SELECT secondary_indices_compressed_bytes AS bytes FROM system.parts "
        "WHERE active AND table = 'logs' ORDER BY rows"
    )
    fresh_bytes, merged_bytes = indexed["bytes"].to_pylist()
    assert merged_bytes > 2 * fresh_bytes > 0
    for condition in ("has(items, 'key=value')", "hasAllTokens(body, ['line'])"):
        found, _ = await store.query(f"SELECT count() AS n FROM logs WHERE {condition}")
        assert found["n"].to_pylist() == [101], condition


async def test_a_large_answer_is_whole_and_counted(store: DurableStore) -> None:
    """Millions of bytes, and what they cost."""
    found, stats = await store.query("SELECT number, toString(number) AS text FROM numbers(400000)")
    assert found.num_rows == stats.rows_read == 400_000
    assert stats.elapsed_ns > 0


@pytest.mark.parametrize(
    ("sql", "limits", "kind"),
    [
        ("SELECT sleepEachRow(0.1) FROM numbers(1000)", QueryLimits(deadline_s=0.5), DeadlineExceeded),
        ("SELECT number FROM numbers(2000000)", QueryLimits(result_rows=1_000_000), TooLarge),
        ("SELECT groupArray(number) FROM numbers(30000000)", QueryLimits(memory_bytes=20 << 20), TooLarge),
        ("SELECT count() FROM numbers(10000000)", QueryLimits(read_rows=1_000), TooLarge),
        ("SELECT nothing FROM logs", QueryLimits(), InvalidInput),
        ("SELECT throwIf(number = 900000, 'late') FROM numbers(1000000)", QueryLimits(), InvalidInput),
    ],
)
async def test_a_query_past_its_bounds_says_which(
    store: DurableStore, sql: str, limits: QueryLimits, kind: type[GnomonError]
) -> None:
    """Each bound has its own error, also when half of the answer was there; the next query is well."""
    with pytest.raises(kind) as refused:
        await store.query(sql, limits=limits, settings={"function_sleep_max_microseconds_per_block": 0})
    assert "Exception" in refused.value.what
    await store.query("SELECT 1")


async def test_a_cancelled_query_ends_in_the_engine(store: DurableStore) -> None:
    """The task is cancelled, and soon nothing runs; more queries than places do not keep an insert out."""
    slow = "SELECT sleepEachRow(1) FROM numbers(1000)"
    limits = QueryLimits(deadline_s=100)
    tasks = [
        asyncio.create_task(store.query(slow, limits=limits, settings={"max_block_size": 1, "log_comment": "slow"}))
        for _ in range(20)
    ]
    await asyncio.sleep(0.5)
    await store.insert([insert_of("logs", [log("2026-11-20")])])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    left = 1
    while left:
        found, _ = await store.query("SELECT count() AS n FROM system.processes WHERE Settings['log_comment'] = 'slow'")
        left = found["n"][0].as_py()
    assert all(task.cancelled() for task in tasks)


async def test_nobody_at_the_address_is_unavailable() -> None:
    """Store away, where, and to come again; no password in any text."""
    client = ClickHouse(Address("http://127.0.0.1:1", user="u", password="secret-word"))
    with pytest.raises(Unavailable, match="does not answer") as away:
        await client.command("SELECT 1")
    with pytest.raises(Unavailable):
        await client.insert(insert_of("logs", [log("2026-11-20")]))
    assert away.value.where == "http://127.0.0.1:1"
    assert "secret-word" not in repr(client._address) + str(away.value)
    await client.close()


@pytest.mark.parametrize(
    ("code", "text", "status", "of_query", "of_insert"),
    [
        (243, "Cannot reserve 1.00 MiB", 500, "disk_full", "disk_full"),
        (1001, "std::exception: No space left on device", 500, "disk_full", "disk_full"),
        (76, "Cannot open file x, errno: 30, Read-only file system", 503, "data_read_only", "data_read_only"),
        (252, "Too many parts", 500, "query_refused", "store_busy"),
        (202, "Too many simultaneous queries", 503, "query_refused", "store_busy"),
        (241, "Memory limit exceeded", 500, "query_too_large", "store_busy"),
        (159, "Timeout exceeded", 408, "query_deadline", "store_busy"),
        (516, "Authentication failed", 403, "store_denies_access", "store_denies_access"),
        (242, "Table is in readonly mode", 500, "store_away", "store_away"),
        (0, "<html>Bad Gateway</html>", 502, "store_away", "store_away"),
        (0, "nonsense", 500, "store_failed", "insert_failed"),
        (1002, "unknown", 500, "store_failed", "insert_failed"),
        (49, "Logical error", 500, "store_failed", "insert_failed"),
        (60, "Unknown table", 404, "sql_60", "insert_failed"),
        (27, "Cannot parse input", 400, "sql_27", "insert_failed"),
    ],
)
def test_each_code_has_a_meaning(code: int, text: str, status: int, of_query: str, of_insert: str) -> None:
    """What passes by itself is `Unavailable` for inserts, and only that; the engine's version is cut off."""
    text = f"Code: {code}. DB::Exception: {text}"
    for error, expected in (
        (query_error(code, f"{text} (version 26.9.2.1)\n", status), of_query),
        (insert_error(code, f"{text} (version 26.9.2.1)\n", status), of_insert),
    ):
        assert error.code == expected
        assert "version" not in error.what
    passes = of_insert != "insert_failed"
    assert isinstance(insert_error(code, text, status), Unavailable if passes else Internal)


def test_what_is_worth_waiting_for() -> None:
    """A restart and a busy moment; not a full disk, which senders should hear of."""
    assert not is_lasting(Unavailable("store_away", "x"))
    assert not is_lasting(Unavailable("engine_restarting", "x"))
    assert is_lasting(Unavailable("disk_full", "x"))
    assert is_lasting(Internal("insert_failed", "x"))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 200 MB: the engine refuses inserts below 64 MiB of free space."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("mounting a small disk takes root")
        yield Path(folder)
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk_refuses_writes_answers_queries_and_recovers(small_disk: Path) -> None:
    """`disk_full` while it is full, nothing of the refused rows is there, and then it goes on by itself."""
    store = DurableStore(EngineSettings(small_disk))
    await store.start()
    await store.insert([insert_of("logs", [log("2026-11-20", "before")])])
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        room = os.statvfs(small_disk)
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - (40 << 20))
    refused = insert_of("logs", [log("2026-11-20", "refused")], token="again")
    with pytest.raises(Unavailable) as full:
        await store.insert([refused])
    assert full.value.code == "disk_full"
    found, _ = await store.query("SELECT body FROM logs")
    assert found["body"].to_pylist() == ["before"]
    await store.command("ALTER TABLE logs DROP PARTITION (7, '2026-11-20')")
    filler.unlink()
    await store.insert([refused])
    found, _ = await store.query("SELECT body FROM logs")
    assert found["body"].to_pylist() == ["refused"]
    await store.stop()


async def test_a_directory_that_turns_read_only_refuses_writes_and_recovers(store: DurableStore) -> None:
    """`data_read_only` while it is, queries are answered; writable again: it goes on by itself."""
    assert store.supervisor is not None
    tables = str(Path(store.supervisor.socket).parent / "clickhouse" / "db" / "store")
    row = [insert_of("logs", [log("2026-11-20")], token="once")]
    if subprocess.run(["mount", "--bind", tables, tables], check=False, capture_output=True).returncode:
        pytest.skip("mounting takes root")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tables], check=True)
        with pytest.raises(Unavailable) as refused:
            await store.insert(row)
        assert refused.value.code == "data_read_only"
        await store.query("SELECT count() FROM logs")
    finally:
        subprocess.run(["umount", "-l", tables], check=True)
    await store.insert(row)
    found, _ = await store.query("SELECT count() AS n FROM logs")
    assert found["n"].to_pylist() == [1]
