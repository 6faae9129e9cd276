"""The SQL door against the real engine: attacks, other tenants' rows, answers, limits."""

import re

import pytest

from gnomon_server.errors import DeadlineExceeded, GnomonError, InvalidInput, TooLarge
from gnomon_server.query.sql.answer import to_csv, to_json
from gnomon_server.query.sql.door import SqlDoor
from gnomon_server.query.sql.functions import functions
from gnomon_server.query.sql.gate import admit
from gnomon_server.query.sql.scope import BASE_TABLES, VIEWS, tenant_settings
from gnomon_server.store.durable_store import DurableStore
from gnomon_server.store.interface import QueryLimits

LIMITS = QueryLimits(deadline_s=10)

ATTACKS = """
SELECT * FROM file('/etc/passwd', 'LineAsString')
SELECT file('/etc/passwd')
SELECT `file`('/etc/passwd')
SELECT "file"('/etc/passwd')
SELECT FILE('/etc/passwd')
SELECT /* x */ file /* y */ ('/etc/passwd') -- z
SELECT (SELECT file('/etc/passwd'))
SELECT 1 WHERE 'root' IN (SELECT line FROM file('/etc/passwd', 'LineAsString'))
SELECT * FROM spans JOIN file('/etc/passwd', 'LineAsString') AS f ON 1 = 1
WITH x AS (SELECT * FROM file('/etc/passwd', 'LineAsString')) SELECT * FROM x
WITH spans AS (SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')) SELECT * FROM spans
WITH file('/etc/passwd') AS x SELECT x
SELECT 1 UNION ALL SELECT length(file('/etc/passwd'))
SELECT arrayMap(x -> file(x), ['/etc/passwd'])
SELECT arrayMap(file, ['/etc/passwd'])
SELECT * APPLY(file) FROM spans
SELECT * APPLY(x -> file(x)) FROM spans
SELECT COLUMNS('name') APPLY file FROM spans
SELECT * REPLACE (file('/etc/passwd') AS name) FROM spans
SELECT count() OVER (PARTITION BY file('/etc/passwd')) FROM spans
SELECT count() OVER w FROM spans WINDOW w AS (ORDER BY file('/etc/passwd'))
SELECT name FROM spans ORDER BY file('/etc/passwd')
SELECT time FROM spans ORDER BY time WITH FILL FROM file('/etc/passwd') TO 5
SELECT name FROM spans GROUP BY name HAVING file('/etc/passwd') = ''
SELECT name FROM spans LIMIT length(file('/etc/passwd'))
SELECT name FROM spans LIMIT 1 BY file('/etc/passwd')
SELECT name FROM spans PREWHERE file('/etc/passwd') = ''
SELECT name FROM spans QUALIFY file('/etc/passwd') = ''
SELECT name FROM spans ARRAY JOIN [file('/etc/passwd')] AS x
SELECT * FROM url('http://127.0.0.1:1/', 'CSV')
SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV')
SELECT * FROM merge('gnomon', '.*')
SELECT * FROM merge('.*')
SELECT * FROM mergeTreeIndex('gnomon', 'spans')
SELECT * FROM mergeTreeTextIndex('gnomon', 'spans', 'ix_items')
SELECT * FROM mergeTreeProjection('gnomon', 'spans', 'p')
SELECT * FROM executable('id', 'TSV', 'x String')
SELECT * FROM remote('127.0.0.1', 'gnomon', 'spans')
SELECT * FROM remoteSecure('127.0.0.1', gnomon.spans)
SELECT * FROM cluster('default', gnomon.spans)
SELECT * FROM view(SELECT * FROM gnomon.spans)
SELECT * FROM loop(gnomon.spans)
SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x Int8'))
SELECT * FROM dictionary('x')
SELECT * FROM input('x String')
SELECT * FROM generateRandom('x String')
SELECT * FROM null('x String')
SELECT * FROM values('x String', file('/etc/passwd'))
SELECT * FROM format(LineAsString, 'x')
SELECT * FROM fuzzJSON('{}', 'x')
SELECT * FROM Python(os)
SELECT * FROM sqlite('/tmp/x', 'y')
SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')
SELECT * FROM numbers(1000000000000)
SELECT * FROM numbers((SELECT 5))
SELECT * FROM numbers_mt(10)
SELECT * FROM zeros(10)
SELECT * FROM `/etc/passwd`
SELECT * FROM "/etc/passwd"
SELECT * FROM '/etc/passwd'
WITH `/etc/passwd` AS (SELECT 1) SELECT * FROM `/etc/passwd`
SELECT 1 IN `/etc/passwd`
SELECT 1 IN system.one
SELECT in(1, system.one)
SELECT 1 GLOBAL IN system.one
SELECT notIn(1, gnomon.spans)
WITH system.one AS t SELECT 1 IN t
SELECT * FROM system.tables
SELECT * FROM SYSTEM.TABLES
SELECT * FROM `system`.`processes`
SELECT * FROM `system.processes`
SELECT system.one.dummy
SELECT * FROM information_schema.tables
SELECT * FROM INFORMATION_SCHEMA.TABLES
SELECT * FROM gnomon.spans
SELECT * FROM gnomon.tenants
SELECT * FROM tenants
SELECT * FROM trace_index
SELECT * FROM `gnomon`.spans
SELECT * FROM default.spans
SELECT * FROM ѕpans
SELECT * FROM spans AS s, (SELECT * FROM (SELECT * FROM system.one)) AS t
SELECT * FROM spans WHERE name IN (SELECT name FROM gnomon.spans)
SELECT (SELECT count() FROM gnomon.spans)
SELECT exists(SELECT 1 FROM gnomon.spans)
SELECT * FROM spans INTERSECT SELECT * FROM gnomon.spans
SELECT dictGet('x', 'y', 1)
SELECT dictGetOrDefault('x', 'y', 1, 2)
SELECT joinGet('gnomon.x', 'y', 1)
SELECT getSetting('additional_table_filters')
SELECT getServerSetting('max_connections')
SELECT hostName(), FQDN(), tcpPort(), getMacro('x'), serverUUID()
SELECT currentUser()
SELECT user()
SELECT currentDatabase()
SELECT queryID()
SELECT sleep(3)
SELECT sleepEachRow(1) FROM spans
SELECT throwIf(1)
SELECT logTrace('x')
SELECT hasColumnInTable('gnomon', 'spans', 'tenant')
SELECT evalMLMethod(1, 2)
SELECT catboostEvaluate('/etc/passwd', 1)
SELECT addressToLine(1)
SELECT filesystemAvailable()
SELECT filesystemCapacity()
SELECT showCertificate()
SELECT encrypt('aes-256-gcm', 'x', 'y')
SELECT fuzzBits('x', 0.1)
SELECT initializeAggregation('sumState', 1)
SELECT arrayReduce('sum', [1])
SELECT sumState(1)
SELECT sumMerge(x) FROM (SELECT 1 AS x)
SELECT finalizeAggregation(unhex('00')::AggregateFunction(sum, UInt8))
SELECT CAST(unhex('00'), 'AggregateFunction(groupBitmap, UInt8)')
SELECT CAST(unhex('00'), concat('Aggregate', 'Function(sum, UInt8)'))
SELECT CAST(unhex('00') AS Array(SimpleAggregateFunction(sum, UInt64)))
SELECT _CAST(1, 'UInt8')
SELECT JSONExtract('[]', 'AggregateFunction(sum, UInt8)')
SELECT parseQueryToJSON('x')
SELECT formatRow('CSV', 1)
SELECT aiGenerate('x', 'y')
SELECT timeSeriesIdToTags(1)
SELECT {t:Identifier} FROM spans
SELECT * FROM {t:Identifier}
SELECT * FROM gnomon_sql.{t:Identifier}
SELECT {x:AggregateFunction(sum, UInt8)}
SELECT * FROM spans(tenant = 2)
SELECT * FROM gnomon_sql.spans(tenant = 2)
SELECT * FROM spans FINAL
SELECT * FROM spans SAMPLE 0.1
SELECT 1 SETTINGS additional_table_filters = {}
SELECT * FROM (SELECT * FROM spans SETTINGS additional_table_filters = {})
SELECT 1 SETTINGS readonly = 0
SELECT 1 FORMAT JSON
SELECT 1 INTO OUTFILE '/tmp/x'
SELECT 1 INTO OUTFILE '/tmp/x' TRUNCATE FORMAT CSV
SELECT 1; SELECT 2
SELECT 1;; DROP TABLE gnomon.spans
SELECT 1 PARALLEL WITH SELECT 2
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count() FROM t
EXPLAIN SELECT 1
EXPLAIN AST SELECT 1
DESCRIBE spans
SHOW TABLES
SHOW CREATE TABLE spans
USE gnomon
SET readonly = 0
SYSTEM STOP MERGES
KILL QUERY WHERE 1
INSERT INTO gnomon.spans SELECT * FROM gnomon.spans
INSERT INTO FUNCTION file('/tmp/x') SELECT 1
CREATE TABLE x (a Int8) ENGINE = Memory
CREATE FUNCTION f AS x -> x
DROP TABLE gnomon.spans
ALTER TABLE gnomon.spans DELETE WHERE 1
BACKUP TABLE gnomon.spans TO File('x')
CHECK TABLE gnomon.spans
GRANT ALL ON *.* TO default
TRUNCATE TABLE gnomon.spans
OPTIMIZE TABLE gnomon.spans
ATTACH TABLE x
EXECUTE AS default SELECT 1
SELECT 1 \x00; SELECT 2
graph = 1 SELECT 1
) UNION ALL SELECT * FROM system.one --
""".strip().splitlines()

ALLOWED = """
SELECT service, count() AS n, quantile(0.99)(duration_ns), countIf(status = 'error') FROM spans GROUP BY ALL ORDER BY n DESC
SELECT * FROM gnomon_sql.spans AS s JOIN logs AS l ON s.trace_id = l.trace_id LIMIT 5
WITH slow AS (SELECT trace_id FROM spans WHERE duration_ns > 1) SELECT * FROM logs WHERE trace_id IN slow
WITH slow AS (SELECT trace_id FROM spans) SELECT 1 UNION ALL SELECT count() FROM slow
SELECT toStartOfMinute(time) AS t, sumIfOrNull(value, value > 0), argMax(value, time) FROM metrics GROUP BY t ORDER BY t WITH FILL STEP 60
SELECT name, lagInFrame(duration_ns) OVER (PARTITION BY service ORDER BY time) FROM spans
SELECT attributes['a'], attributes_int['b'] + 1, mapKeys(attributes), arrayMap(x -> upper(x), mapValues(attributes)) FROM logs
SELECT JSONExtractString(body, 'a'), body LIKE '%x%', match(body, 'x.*'), hasToken(body, 'x'), has(attribute_items, 'a=b') FROM logs
SELECT arrayJoin(events_name) AS e, count() FROM spans GROUP BY e
SELECT time, name FROM spans ARRAY JOIN events_name AS e LIMIT 1 BY service LIMIT 3
SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, 5::Float64, CAST('1' AS Nullable(UInt8)), now() - INTERVAL 1 HOUR, [1, 2][1], (1, 'a').2
SELECT * EXCEPT (attributes) REPLACE (upper(name) AS name) FROM spans
SELECT * APPLY(toString) FROM (SELECT 1 AS a)
SELECT count(DISTINCT trace_id), uniq(service), groupArray(3)(name), topK(3)(name) FROM spans
SELECT number FROM numbers(10) WHERE number NOT IN (SELECT 1)
SELECT 1 AS `p95 (ms)`, '; DROP TABLE x --' AS "file('x')", 'SETTINGS x=1'
SELECT a.service FROM spans AS a LEFT JOIN (SELECT service, max(time) AS t FROM logs GROUP BY service) AS b USING (service)
SELECT 1 INTERSECT SELECT 1
SELECT sum(value) FROM metrics GROUP BY GROUPING SETS ((service), ()) HAVING grouping(service) = 0;
""".strip().splitlines()


class _Tenants:
    def known(self, name: str) -> int | None:
        return {"one": 1, "two": 2}.get(name)


async def _fill(store: DurableStore, tenant: int, marker: str) -> None:
    """A few rows in every table, each with the tenant's marker; series and resources twice, on two days."""
    at = "toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60"
    trace = f"unhex(leftPad(hex(number + 1), 32, '{tenant}'))"
    span = f"unhex(leftPad(hex(number + 1), 16, '{tenant}'))"
    maps = f"map('who', '{marker}') AS s, map('n', {tenant}) AS i, map('f', 0.5) AS f, map('b', true) AS b, map('j', '[1]') AS j"
    for statement in (
        f"INSERT INTO tenants (tenant, name) SELECT {tenant}, '{marker}'",
        f"INSERT INTO resources (tenant, ret, day, rid, service, s, i, f, b, j) SELECT {tenant}, 7, "
        f"toDate('2026-11-20') + number, 5, '{marker}', {maps} FROM numbers(2)",
        f"INSERT INTO series (tenant, ret, day, metric, id, kind, rid, service, name, labels, s, i, f, b, j) SELECT {tenant}, "
        f"7, toDate('2026-11-20') + number % 2, 'm_total', intDiv(number, 2) + 1, 2, 5, '{marker}', 'm', "
        f"map('who', '{marker}', 'n', toString(intDiv(number, 2))), {maps} FROM numbers(20)",
        f"INSERT INTO samples (tenant, ret, id, ts, v) SELECT {tenant}, 7, number % 10 + 1, {at}, {tenant} FROM numbers(100)",
        f"INSERT INTO native_histograms (tenant, ret, id, ts, count) SELECT {tenant}, 7, 1, {at}, {tenant} FROM numbers(3)",
        f"INSERT INTO exemplars (tenant, ret, id, ts, v, s) SELECT {tenant}, 7, 1, {at}, {tenant}, map('who', '{marker}') "
        "FROM numbers(3)",
        f"INSERT INTO metric_meta (tenant, metric, type, help) SELECT {tenant}, 'm', 'sum', '{marker}'",
        "INSERT INTO spans (tenant, ret, ts, dur, trace_id, span_id, service, name, kind, status, state, rid, s, i, f, b, j, "
        f"ev_ts, ev_name, ev_j) SELECT {tenant}, 7, {at}, 1000, {trace}, {span}, '{marker}', '{marker}', 2, "
        f"{2 if tenant == 2 else 1}, '{marker}', 5, {maps}, [{at}], ['{marker}'], ['{{}}'] FROM numbers(100)",
        "INSERT INTO logs (tenant, ret, ts, service, sev, sev_text, event, body, trace_id, rid, s, i, f, b, j) SELECT "
        f"{tenant}, 7, {at}, '{marker}', {9 if tenant == 1 else 0}, '{marker}', '{marker}', '{marker}', {trace}, 5, {maps} "
        "FROM numbers(100)",
    ):
        await store.command(statement)


@pytest.fixture
async def door(store: DurableStore) -> SqlDoor:
    """The door of a store that holds two tenants' rows, in the same granules."""
    await _fill(store, 1, "1")
    await _fill(store, 2, "secret")
    for table in BASE_TABLES:
        await store.command(f"OPTIMIZE TABLE {table} FINAL")
    return SqlDoor(store, _Tenants())


async def _rows(door: SqlDoor, query: str, tenant: str = "one", **params: object) -> list[dict[str, object]]:
    table, _ = await door.run(query, params, tenant, LIMITS)
    return table.to_pylist()


async def test_attacks_are_refused_before_anything_runs(store: DurableStore) -> None:
    """Each attack ends at the gate, which parses and asks nothing of the tables."""
    taken = []
    for attack in ATTACKS:
        with pytest.raises(InvalidInput) as refusal:
            taken.append((attack, await admit(store, attack)))
        assert refusal.value.code.startswith("sql_"), attack
        assert not refusal.value.code.startswith("sql_4"), (attack, refusal.value)
    assert taken == []


async def test_questions_people_ask_are_answered(door: SqlDoor) -> None:
    """Aggregates, joins, windows, CTEs, lambdas, maps and JSON functions over the views."""
    for query in ALLOWED:
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
        await admit(store, "SELECT 'é',\n  FROM FROM spans")
    assert refusal.value.code == "sql_syntax"
    assert refusal.value.where.startswith("line 2, column 8\n")


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
        for query in (counts, f"SELECT ({counts}) AS n", f"SELECT n FROM (SELECT * FROM ({counts}) UNION ALL {counts}) LIMIT 1"):
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
    found, _ = await store.query("SELECT name, alias_to, is_aggregate FROM system.functions")
    engine = {row["name"]: row for row in found.to_pylist()}
    listed = functions()
    syntax = {"lambda", "grouping", "exists"}
    for name in set(listed.plain.values()) | set(listed.aggregate.values()):
        assert name in engine or name in syntax
    for name, row in engine.items():
        if row["alias_to"] and listed.allow(name):
            assert listed.allow(row["alias_to"]), name
        if name.lower() in listed.plain and not row["is_aggregate"]:
            assert name in listed.plain.values() or row["alias_to"], name


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


async def test_a_join_leaves_nothing_behind_that_hides_rows(door: SqlDoor) -> None:
    """What a join excluded (its runtime filter) must not be remembered for the next query."""
    everything = await _rows(door, "SELECT count() AS n FROM metrics")
    for metric in ("none", "m_total"):
        await _rows(door, f"SELECT count() FROM metrics WHERE metric = '{metric}' AND labels['n'] = '3'")
    assert await _rows(door, "SELECT count() AS n FROM metrics") == everything


async def test_answers_keep_every_kind_of_value(door: SqlDoor) -> None:
    """JSON and CSV of times, numbers beyond JSON, bytes, maps, tuples, nulls, and parameters of each kind."""
    query = """SELECT toDateTime64('2026-11-21 09:21:35.123456789', 9, 'Europe/Berlin') AS a, toDateTime('2026-11-21 09:00:00') AS b,
        toDate('2026-11-21') AS c, 18446744073709551615 AS d, nan AS e, -inf AS f, toFixedString(unhex('00ff'), 2) AS g,
        map('k', [1, NULL]) AS h, (1, 'x') AS i, NULL AS j, {text:String} AS k, {list:Array(Int64)} AS l, true AS m,
        toIPv6('::1') AS n, unhex('ff41') AS o, toLowCardinality('lc') AS p, 1.5::Nullable(Float64) AS q"""
    answer = await door.answer(query, {"text": "it's\n\t'; --", "list": [1, -2]}, "one", LIMITS)
    body = to_json(answer).decode()
    rows = body[body.index('"rows":[') : body.index(',"stats"')]
    assert rows == (
        '"rows":[["2026-11-21T08:21:35.123456789Z","2026-11-21T09:00:00Z","2026-11-21",18446744073709551615,"NaN","-Infinity",'
        '"00ff",{"k":[1,null]},[1,"x"],null,"it\'s\\n\\t\'; --",[1,-2],true,"::1","\ufffdA","lc",1.5]]'
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
        ("SELECT groupArray(number) FROM numbers(9000000)", {}, QueryLimits(memory_bytes=10_000_000), TooLarge, "query_too_large"),
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
