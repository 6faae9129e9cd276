"""The migration runner on the real engine, and the cluster's statements parsed by it."""

import re
from typing import Any

import pytest

from gnomon_server.errors import GnomonError, InvalidInput, Unavailable
from gnomon_server.store.clickhouse import ClickHouse
from gnomon_server.store.ddl import Deployment, Migration, migrations, migrations_table
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.migrations import migrate

HERE = Deployment()


class Interrupted(ClickHouse):
    """A client whose connection goes at the n-th statement: before it is sent, or when its answer is due."""

    def __init__(self, whole: ClickHouse, after: int, *, sent: bool) -> None:
        super().__init__(whole._address)
        self._left = after
        self._sent = sent

    async def command(self, *arguments: Any, **named: Any) -> str:
        self._left -= 1
        if self._left < 0 and not self._sent:
            raise Unavailable("store_away", "gone")
        answer = await super().command(*arguments, **named)
        if self._left < 0:
            raise Unavailable("store_away", "gone")
        return answer


async def schema(store: DurableStore) -> list[str]:
    """What there is, as the engine would write it."""
    return (await store.client.command(
        "SELECT create_table_query FROM system.tables WHERE database IN ('gnomon', 'gnomon_sql') ORDER BY 1 FORMAT TSV"
    )).splitlines()  # fmt: skip


async def applied(store: DurableStore) -> list[int]:
    """The numbers noted, with repetitions."""
    return [int(line) for line in (await store.client.command("SELECT number FROM migrations ORDER BY 1")).split()]


async def test_migrating_again_changes_nothing(store: DurableStore) -> None:
    """Not once more, not the notes, not the tables."""
    told: list[str] = []
    before = await schema(store), await applied(store)
    assert await migrate(store.client, HERE, lambda name, _: told.append(name)) == store.schema_number
    assert (await schema(store), await applied(store)) == before
    assert before[1] == [step.number for step in migrations(HERE)]
    assert not told


async def test_an_interrupted_migration_continues(store: DurableStore) -> None:
    """The connection goes at each statement in turn, sent or not; the next run ends at the same schema."""
    wanted = await schema(store)
    await store.client.command("DROP DATABASE gnomon SYNC")
    await store.client.command("DROP DATABASE gnomon_sql SYNC", database="default")
    statements = sum(len(step.statements) for step in migrations(HERE))
    interrupted = 0
    for after in range(statements + 10):
        client = Interrupted(store.client, after, sent=after % 2 == 0)
        try:
            await migrate(client, HERE, lambda *_: None)
        except Unavailable:
            interrupted += 1
        finally:
            await client.close()
    assert interrupted >= 3
    assert [re.sub(r"UUID '[^']*'", "", line) for line in await schema(store)] == [
        re.sub(r"UUID '[^']*'", "", line) for line in wanted
    ]
    assert sorted(set(await applied(store))) == [step.number for step in migrations(HERE)]


async def test_tables_are_frozen_before_a_database_with_data_is_changed(store: DurableStore) -> None:
    """On a ClickHouse server: the snapshot is named after its schema, and the one before it is given up."""
    await store.command("INSERT INTO logs (tenant, body) VALUES (1, 'kept')")
    told: list[tuple[str, str]] = []
    newest = store.schema_number
    assert store.supervisor is not None
    shadow = store.supervisor._data / "clickhouse" / "db" / "shadow"
    steps = migrations(HERE)
    for number in (newest + 1, newest + 2):
        steps = [*steps, Migration(number, "more", (f"ALTER TABLE logs ADD COLUMN IF NOT EXISTS more{number} UInt8",))]
        await migrate(store.client, Deployment(embedded=False), lambda *said: told.append(said), steps)
    assert told[0] == ("snapshot", f"schema_{newest:04}")
    assert told[1] == ("migrated", f"{newest + 1:04} more")
    assert any((shadow / f"schema_{newest + 1:04}").rglob("*.bin")) or any(
        (shadow / f"schema_{newest + 1:04}").rglob("data.*")
    )
    assert not any(path.is_file() for path in (shadow / f"schema_{newest:04}").rglob("*"))


async def test_a_downgrade_is_refused_in_words(store: DurableStore) -> None:
    """Data of a newer server: which numbers, and what to do."""
    await store.command("INSERT INTO migrations (number, name) VALUES (999, 'later')")
    with pytest.raises(GnomonError, match="this data is of schema 999, this server knows") as refused:
        await migrate(store.client, HERE, lambda *_: None)
    assert refused.value.code == "schema_newer"
    assert "newer server" in refused.value.hint


async def test_a_statement_that_fails_names_itself(store: DurableStore) -> None:
    """Number, name and text of the statement; the migration is not noted."""
    steps = [*migrations(HERE), Migration(500, "broken", ("ALTER TABLE nowhere\n  ADD COLUMN x UInt8",))]
    with pytest.raises(GnomonError) as failed:
        await migrate(store.client, HERE, lambda *_: None, steps)
    assert failed.value.code == "migration_failed"
    assert failed.value.where == "migration 0500 broken: ALTER TABLE nowhere ADD COLUMN x UInt8"
    assert 500 not in await applied(store)


async def test_every_statement_of_a_cluster_parses(store: DurableStore) -> None:
    """Replicated `_local` tables, a Distributed table over each, views from `_local` to `_local`, all ON CLUSTER."""
    cluster = Deployment("main", embedded=False)
    steps = migrations(cluster)
    statements = [*migrations_table(cluster), *(text for step in steps for text in step.statements)]
    for statement in statements:
        parsed = await store.client.command(f"EXPLAIN AST {statement}")
        assert "Create" in parsed or "Alter" in parsed, statement
        assert "ON CLUSTER 'main'" in statement
    text = "\n".join(statements)
    local = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)_local ", text))
    distributed = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) ON CLUSTER 'main' AS \1_local", text))
    assert local == distributed >= {"spans", "logs", "samples", "tenants", "migrations", "trace_index"}
    assert text.count("= Replicated") == len(local)
    assert "non_replicated" not in text
    assert "VIEW IF NOT EXISTS trace_index_mv_local ON CLUSTER 'main' TO trace_index_local AS" in text
    assert "FROM spans_local GROUP BY" in text
    added = re.findall(r"ALTER TABLE (\w+) ON CLUSTER 'main'\s+ADD COLUMN", text)
    assert added == [name for table in added[::2] for name in (table, table.removesuffix("_local"))]


def test_a_cluster_is_named_by_a_name() -> None:
    """What would end the quotes is refused."""
    with pytest.raises(InvalidInput, match="name of a cluster"):
        Deployment("x' AS y; DROP")
    single = "\n".join(text for step in migrations(HERE) for text in step.statements)
    for of_clusters in ("_local", "ON CLUSTER", "Replicated", "Distributed"):
        assert of_clusters not in single
