INSERT INTO tenants (tenant, name) SELECT {tenant:UInt32}, {who:String};

INSERT INTO resources (tenant, ret, day, rid, service, s, i, f, b, j)
SELECT {tenant:UInt32}, 7, toDate('2026-11-20') + number, 5, {who:String}, map('who', {who:String}), map('n', {tenant:Int64}), map('f', 0.5), map('b', true), map('j', '[1]') FROM numbers(2);

INSERT INTO series (tenant, ret, day, metric, id, kind, rid, service, name, labels, s, i, f, b, j)
SELECT {tenant:UInt32}, 7, toDate('2026-11-20') + number % 2, 'm_total', intDiv(number, 2) + 1, 2, 5, {who:String}, 'm',
    map('who', {who:String}, 'n', toString(intDiv(number, 2))), map('who', {who:String}), map('n', {tenant:Int64}), map('f', 0.5), map('b', true), map('j', '[1]') FROM numbers(20);

INSERT INTO samples (tenant, ret, id, ts, v)
SELECT {tenant:UInt32}, 7, number % 10 + 1, toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60, {tenant:UInt32} FROM numbers(100);

INSERT INTO native_histograms (tenant, ret, id, ts, count)
SELECT {tenant:UInt32}, 7, 1, toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60, {tenant:UInt32} FROM numbers(3);

INSERT INTO exemplars (tenant, ret, id, ts, v, s)
SELECT {tenant:UInt32}, 7, 1, toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60, {tenant:UInt32}, map('who', {who:String}) FROM numbers(3);

INSERT INTO metric_meta (tenant, metric, type, unit, help) SELECT {tenant:UInt32}, 'm', 'sum', 'By', {who:String};

INSERT INTO spans (tenant, ret, ts, dur, trace_id, span_id, service, name, kind, status, state, rid, scope, s, i, f, b, j,
    ev_ts, ev_name, ev_j, ln_trace, ln_span, ln_j)
SELECT {tenant:UInt32}, 7, toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60, 1000 * (number + 1), unhex(leftPad(hex(number + 1), 32, toString({tenant:UInt32}))), unhex(leftPad(hex(number + 1), 16, toString({tenant:UInt32}))), {who:String}, {who:String}, 2, {tenant:UInt32}, {who:String}, 5, '{"name":"lib"}', map('who', {who:String}), map('n', {tenant:Int64}), map('f', 0.5), map('b', true), map('j', '[1]'),
    [toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60], [{who:String}], ['{"k":[1]}'], [unhex(leftPad(hex(number + 1), 32, toString({tenant:UInt32})))], [unhex(leftPad(hex(number + 1), 16, toString({tenant:UInt32})))], ['{}'] FROM numbers(100);

INSERT INTO logs (tenant, ret, ts, service, sev, sev_text, event, body, trace_id, span_id, rid, s, i, f, b, j)
SELECT {tenant:UInt32}, 7, toDateTime64('2026-11-20 23:00:00', 9, 'UTC') + number * 60, {who:String}, if({tenant:UInt32} = 1, 9, 0), {who:String}, {who:String}, {who:String}, unhex(leftPad(hex(number + 1), 32, toString({tenant:UInt32}))), unhex(leftPad(hex(number + 1), 16, toString({tenant:UInt32}))), 5, map('who', {who:String}), map('n', {tenant:Int64}), map('f', 0.5), map('b', true), map('j', '[1]') FROM numbers(100);
