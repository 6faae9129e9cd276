-- One attack or misuse a line; each is refused by the SQL door before anything runs.
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
SELECT arrayMap(x -> arrayMap(y -> file(y), [x]), ['/etc/passwd'])
WITH x -> file(x) AS f SELECT arrayMap(f, ['/etc/passwd'])
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
graph = 1 SELECT 1
) UNION ALL SELECT * FROM system.one --
