"""The SQL door against the real engine: attacks, other tenants' rows, answers, limits."""

import re
from pathlib import Path

import pytest

from gnomon_server.errors import DeadlineExceeded, GnomonError, InvalidInput, TooLarge
from gnomon_server.query.sql.answer import to_csv, to_json
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.query.sql.functions import HIGHER_ORDER, functions
from gnomon_server.query.sql.gate import admit
from gnomon_server.query.sql.scope import BASE_TABLES, VIEWS, tenant_settings
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits

LIMITS = QueryLimits(deadline_s=10)
CASES = Path(__file__).parents[1] / "cases" / "sql"


class _Tenants:
    def known(self, name: str) -> int | None:
        return {"one": 1, "two": 2}.get(name)


async def _fill(store: DurableStore, tenant: int, marker: str) -> None:
    """A few rows in every table, each with the tenant's marker; series and resources twice, on two days."""
    for statement in (CASES / "rows.sql").read_text("utf-8").split(";\n"):
        if statement.strip():
            await store.command(statement, {"tenant": tenant, "who": marker})


@pytest.fixture
async def door(store: DurableStore) -> SqlDoor:
    """The door of a store that holds two tenants' rows, in the same granules."""
    await _fill(store, 1, "1")
    await _fill(store, 2, "secret")
    for table in BASE_TABLES:
        await store.command(f"OPTIMIZE TABLE {table} FINAL")
    return SqlDoor(store, _Tenants())


def _cases(name: str) -> list[str]:
    return (CASES / name).read_text("utf-8").split("\n")[1:-1]


async def _rows(door: SqlDoor, query: str, tenant: str = "one", **params: object) -> list[dict[str, object]]:
    table, _ = await door.run(query, params, tenant, LIMITS)
    return table.to_pylist()


async def test_attacks_are_refused_before_anything_runs(store: DurableStore) -> None:
    """Each attack ends at the gate, which parses and asks nothing of the tables."""
    taken = []
    attacks = [*_cases("refused.sql"), "SELECT 1 \0; SELECT 2"]
    assert len(attacks) > 150
    for attack in attacks:
        with pytest.raises(InvalidInput) as refusal:
            taken.append((attack, await admit(store, attack)))
        # A reason of ours: with the engine's number it would have come from running.
        assert re.fullmatch(r"sql_[a-z_]+", refusal.value.code), (attack, refusal.value)
    assert taken == []


async def test_a_column_name_never_becomes_a_function(door: SqlDoor) -> None:
    """ClickHouse takes bare function names for lambdas; only listed ones get through, and columns stay columns."""
    for attack in (
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT arrayMap(`file` AS f, ['/etc/passwd'])",
        "SELECT arrayMap((file), ['/etc/passwd']) FROM (SELECT 1 AS a) WHERE 1 IN (SELECT 1 AS file)",
        "SELECT * APPLY(x -> arrayMap(file, [x])) FROM (SELECT '/etc/passwd' AS a)",
    ):
        with pytest.raises(InvalidInput, match="identifier `file`"):
            await door.run(attack, {}, "one", LIMITS)
    query = "SELECT arrayMap(upper, ['a']) AS a, arraySort(b) AS c, arraySum(b) AS d FROM (SELECT [2, 1] AS b)"
    assert await _rows(door, query) == [{"a": ["A"], "c": [1, 2], "d": 3}]


async def test_questions_people_ask_are_answered(door: SqlDoor) -> None:
    """Aggregates, joins, windows, CTEs, lambdas, maps and JSON functions over the views."""
    for query in _cases("answered.sql"):
        await door.run(query, {}, "one", LIMITS)


async def test_refusals_show_the_spot(store: DurableStore) -> None:
    """Line, column, the text underlined, and the nearest allowed name."""
    with pytest.raises(InvalidInput) as refusal:
        await admit(store, "SELECT 1,\n  countt(*)\nFROM spans")
    assert refusal.value.where == "line 2, column 3\n    countt(*)\n    ^^^^^^"
    assert refusal.value.hint == "did you mean count?"
    with pytest.raises(InvalidInput) as refusal:
        await admit(store, "SELECT 'span' FROM span")
    assert (refusal.value.code, refusal.value.hint) == ("sql_table_forbidden", "did you mean spans?")
    assert refusal.value.where.startswith("line 1, column 20\n")
    with pytest.raises(InvalidInput) as refusal:
        await admit(store, "SELECT 'é',\n  1 + ) FROM spans")
    assert refusal.value.code == "sql_syntax"
    assert refusal.value.where.startswith("line 2, column 7\n")


async def test_each_tenant_sees_its_own_rows_by_every_view_and_way(door: SqlDoor) -> None:
    """Views, joins, subqueries, CTEs, IN and UNION; an unknown tenant sees nothing; series are not multiplied."""
    expected = {
        "spans": 100, "logs": 100, "traces": 100, "metrics": 100, "series": 20, "resources": 2, "histograms": 3,
        "exemplars": 3, "metric_metadata": 1,
    }  # fmt: skip
    assert set(expected) == VIEWS
    for view, count in expected.items():
        for query in (
            f"SELECT * FROM {view}",
            f"SELECT * FROM (SELECT * FROM gnomon_sql.{view})",
            f"WITH w AS (SELECT * FROM {view}) SELECT * FROM w",
        ):
            rows = await _rows(door, query)
            assert (len(rows), "secret" in repr(rows)) == (count, False), query
            assert len(await _rows(door, query, "two")) == count, query
            assert await _rows(door, query, "nobody") == []
        counts = f"SELECT count() AS n FROM {view}"
        for query in (
            counts,
            f"SELECT ({counts}) AS n",
            f"SELECT n FROM (SELECT * FROM ({counts}) UNION ALL {counts}) LIMIT 1",
        ):
            assert (await _rows(door, query))[0]["n"] == count, query
    services = "SELECT DISTINCT service FROM spans WHERE service IN (SELECT service FROM logs)"
    assert await _rows(door, services, "two") == [{"service": "secret"}]
    joined = "SELECT count() AS n FROM spans AS a JOIN logs AS b ON a.status != b.severity"
    assert await _rows(door, joined) == [{"n": 10_000}]


async def test_errors_tell_nothing_of_other_tenants(door: SqlDoor) -> None:
    """A condition that fails on another tenant's values never sees them, though they lie in the same granule."""
    for query in (
        "SELECT count() AS n FROM logs WHERE toUInt32(body) = 1",
        "SELECT count() AS n FROM logs WHERE toUInt32(service) = 1",
        "SELECT count() AS n FROM logs WHERE intDiv(9, severity_number) = 1",
        "SELECT count() AS n FROM logs WHERE toUInt32(body) + toUInt32(service) + toUInt32(severity_text) = 3",
        "SELECT count() AS n FROM logs WHERE toUInt32(attributes_string['who']) = 1",
        "SELECT count() AS n FROM logs WHERE toUInt32(attributes['who']) = 1 AND time > '2026-01-01'",
        "SELECT count() AS n FROM logs AS l JOIN (SELECT '1' AS k) AS r ON toUInt32(l.service) = toUInt32(r.k)",
        "SELECT count() AS n FROM (SELECT toUInt32(service) AS x FROM spans) WHERE x = 1",
        "SELECT count() AS n FROM spans WHERE toUInt32(name) = 1 AND toUInt32(trace_state) = 1",
        "SELECT count() AS n FROM spans GROUP BY toUInt32(service)",
        "SELECT count() AS n FROM metrics WHERE toUInt32(service) = 1 AND toUInt32(labels['who']) = 1",
        "SELECT count() AS n FROM metrics WHERE intDiv(1, 2 - value) = 1",
    ):
        assert await _rows(door, query) == [{"n": 100}], query


async def test_all_tables_and_views_are_known_to_the_door(store: DurableStore) -> None:
    """Every table with a tenant column is filtered, every view in gnomon_sql listed; no view reads anything else."""
    tables, _ = await store.query("SELECT table FROM system.columns WHERE database = 'gnomon' AND name = 'tenant'")
    views, _ = await store.query("SELECT name, as_select FROM system.tables WHERE database = 'gnomon_sql'")
    internal = {"trace_index_mv"}  # a materialized view: its columns, not rows of its own
    assert set(tables["table"].to_pylist()) - internal == set(BASE_TABLES)
    assert set(views["name"].to_pylist()) == VIEWS
    for text in views["as_select"].to_pylist():
        assert set(re.findall(r"\b(?:FROM|JOIN) (\w[\w.]*)", text)) <= {f"gnomon.{table}" for table in BASE_TABLES}


async def test_the_list_of_functions_is_the_engines(store: DurableStore) -> None:
    """Each listed name exists, and no unlisted function answers to a listed name in another case."""
    found, _ = await store.query("SELECT name, alias_to, higher_order FROM system.functions")
    engine = {row["name"]: row for row in found.to_pylist()}
    listed = functions()
    syntax = {"lambda", "grouping", "exists"}
    for name in set(listed.plain.values()) | set(listed.aggregate.values()):
        assert name in engine or name in syntax
    for name, row in engine.items():
        if row["higher_order"] and listed.allow(name):
            assert name.lower() in HIGHER_ORDER, name
        spelt = listed.plain.get(name.lower()) or listed.aggregate.get(name.lower())
        if spelt and spelt in engine:
            assert (row["alias_to"] or name) == (engine[spelt]["alias_to"] or spelt), name
        if row["alias_to"] and listed.allow(name):
            assert listed.allow(row["alias_to"]), name


async def test_conditions_of_the_views_use_the_indexes(door: SqlDoor, store: DurableStore) -> None:
    """A trace id finds its bloom filter through the view, an attribute its text index, a tenant the primary key."""
    settings = tenant_settings(1)
    for query, index in (
        ("SELECT * FROM spans WHERE trace_id = '11111111111111111111111111111115'", "ix_trace"),
        ("SELECT * FROM logs WHERE trace_id = '11111111111111111111111111111115'", "ix_trace"),
        ("SELECT * FROM logs WHERE has(attribute_items, 'who=1')", "ix_items"),
        ("SELECT * FROM spans WHERE has(attribute_items, 'who=1')", "ix_items"),
        ("SELECT * FROM series WHERE has(label_items, 'who=1')", "ix_items"),
        ("SELECT * FROM logs WHERE hasToken(body, 'x')", "ix_body"),
        ("SELECT * FROM metrics WHERE metric = 'm_total'", "tenant in [1, 1]"),
    ):
        plan, _ = await store.query(f"EXPLAIN indexes = 1 {query}", database="gnomon_sql", settings=settings)
        text = "\n".join(plan["explain"].to_pylist())
        assert index in text, query
        assert "tenant in [1, 1]" in text, query


async def test_a_join_leaves_nothing_behind_that_hides_rows(store: DurableStore) -> None:
    """What one join's runtime filter excluded must not be remembered against the next join."""
    await store.command(
        "INSERT INTO series (tenant, ret, day, metric, id, labels) SELECT 1, 7, toDate('2026-11-19') + number % 3, "
        "'m', cityHash64(intDiv(number, 3)), map('n', toString(intDiv(number, 3))) FROM numbers(300000)"
    )
    await store.command(
        "INSERT INTO samples (tenant, ret, id, ts, v) SELECT 1, 7, cityHash64(intDiv(number, 2)), "
        "toDateTime64('2026-11-21 07:00:00', 3, 'UTC') + 1800 * (number % 2), 1 FROM numbers(200000)"
    )
    await store.command("OPTIMIZE TABLE samples FINAL")
    settings = tenant_settings(1)
    found, _ = await store.query(
        "SELECT count() AS n FROM metrics WHERE labels['n'] = '707'", database="gnomon_sql", settings=settings
    )
    assert found["n"].to_pylist() == [2]
    found, _ = await store.query(
        "SELECT count() AS n FROM samples AS p JOIN series AS s ON p.id = s.id AND toDate(p.ts) = s.day "
        "WHERE p.ts >= '2026-11-21 07:00:00' AND p.ts < '2026-11-21 08:00:00'",
        settings=settings,
    )
    assert found["n"].to_pylist() == [200_000]


async def test_answers_keep_every_kind_of_value(door: SqlDoor) -> None:
    """JSON and CSV of times, numbers beyond JSON, bytes, maps, tuples, nulls, and parameters of each kind."""
    query = """SELECT toDateTime64('2026-11-21 09:21:35.123456789', 9, 'Europe/Berlin') AS a,
        toDateTime('2026-11-21 09:00:00') AS b, toDate('2026-11-21') AS c, 18446744073709551615 AS d,
        nan AS e, -inf AS f, toFixedString(unhex('00ff'), 2) AS g,
        map('k', [1, NULL]) AS h, (1, 'x') AS i, NULL AS j, {text:String} AS k, {list:Array(Int64)} AS l, true AS m,
        toIPv6('::1') AS n, unhex('ff41') AS o, toLowCardinality('lc') AS p, 1.5::Nullable(Float64) AS q"""
    answer = await door.answer(query, {"text": "it's\n\t'; --", "list": [1, -2]}, "one", LIMITS)
    body = to_json(answer).decode()
    rows = body[body.index('"rows":[') : body.index(',"stats"')]
    assert rows == (
        '"rows":[["2026-11-21T08:21:35.123456789Z","2026-11-21T09:00:00Z","2026-11-21",18446744073709551615,'
        '"NaN","-Infinity","00ff",{"k":[1,null]},[1,"x"],null,'
        '"it\'s\\n\\t\'; --",[1,-2],true,"::1","\ufffdA","lc",1.5]]'
    )
    assert '{"name":"a","type":"DateTime64(9, \'Europe/Berlin\')"}' in body
    csv = await door.answer("SELECT 1 AS a, 'x,\"y' AS b, map('k', 1) AS c, 0.5 AS d", {}, "one", LIMITS)
    assert to_csv(csv) == b'"a","b","c","d"\n1,"x,""y","{""k"":1}","0.5"\n'


async def test_limits_and_parameters_are_kept(door: SqlDoor) -> None:
    """Deadline, rows, missing and unknown parameters each end in their own refusal."""
    heavy = "SELECT sum(a.number * b.number) FROM numbers(10000000) AS a, numbers(10000000) AS b"
    for query, params, limits, kind, code in (
        (heavy, {}, QueryLimits(deadline_s=0.5), DeadlineExceeded, "query_deadline"),
        ("SELECT * FROM numbers(5000000)", {}, QueryLimits(result_rows=1000), TooLarge, "query_too_large"),
        (
            "SELECT groupArray(number) FROM numbers(9000000)",
            {},
            QueryLimits(memory_bytes=10_000_000),
            TooLarge,
            "query_too_large",
        ),
        ("SELECT {a:UInt8}", {}, LIMITS, InvalidInput, "sql_parameter_missing"),
        ("SELECT 1", {"a": 1}, LIMITS, InvalidInput, "sql_parameter_unknown"),
        ("SELECT {a:UInt8}", {"a": "x"}, LIMITS, InvalidInput, "sql_457"),
        ("SELECT nope FROM spans", {}, LIMITS, InvalidInput, "sql_47"),
        ("(" * 300 + "SELECT 1" + ")" * 300, {}, LIMITS, InvalidInput, "sql_too_deep"),
        ("SELECT '" + "x" * 300_000 + "'", {}, LIMITS, TooLarge, "sql_too_long"),
    ):
        with pytest.raises(GnomonError) as refusal:
            await door.run(query, params, "one", limits)
        assert isinstance(refusal.value, kind), refusal.value
        assert refusal.value.code == code, refusal.value
