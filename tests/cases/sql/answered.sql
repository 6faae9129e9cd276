-- One question a line; each is answered by the SQL door.
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
