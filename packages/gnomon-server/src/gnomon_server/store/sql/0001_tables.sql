-- The first tables: tenants, resources, metrics, traces, logs. Why they look so: docs/decisions/0004-tables.md.
--
-- Statements end with a semicolon at the end of a line. $names are filled in by store/ddl.py: $local, $on_cluster,
-- $replicated and $durable differ between one ClickHouse (embedded or not) and a cluster; $ts_day_or_month is the partition.
-- `tenant` leads every sort key; `ret` is the row's retention in days (0: for ever) and leads every partition, so that
-- expiry is DROP PARTITION. PRIMARY KEY leaves out `ts` on purpose: if it stood there, `ts >= x` would bind to it and the
-- hour bucket would prune nothing. `trace_hex` is what the views show, so that the index serves who asks for a trace by
-- its hexadecimal name; an `if(...)` in it would be rewritten by the optimizer and miss the index, replaceOne is not.

CREATE TABLE IF NOT EXISTS tenants$local $on_cluster (
    tenant UInt32,
    name String,
    version DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ${replicated}ReplacingMergeTree(version) ORDER BY tenant
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS resources$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    day Date,
    rid UInt64,
    service LowCardinality(String),
    s Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    i Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    f Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    b Map(LowCardinality(String), Bool) CODEC(ZSTD(1)),
    j Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    items Array(String) ALIAS arrayMap(x -> concat(x.1, '=', x.2), s::Array(Tuple(String, String)))
) ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY (ret, toStartOfMonth(day)) ORDER BY (tenant, day, rid)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS series$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    day Date,
    metric LowCardinality(String),
    id UInt64,
    kind UInt8,
    rid UInt64,
    service LowCardinality(String),
    scope LowCardinality(String),
    name LowCardinality(String),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    s Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    i Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    f Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    b Map(LowCardinality(String), Bool) CODEC(ZSTD(1)),
    j Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    items Array(String) ALIAS arrayMap(x -> concat(x.1, '=', x.2), labels::Array(Tuple(String, String))),
    INDEX ix_items items TYPE text(tokenizer = 'array', posting_list_codec = 'bitpacking')
) ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY (ret, $day_or_month) ORDER BY (tenant, metric, id, day)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS samples$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    id UInt64 CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    v Float64 CODEC(Delta, ZSTD(1)),
    start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    sent Float64 CODEC(ZSTD(1)),
    exact Int64 CODEC(ZSTD(1))
) ENGINE = ${replicated}MergeTree
PARTITION BY (ret, $ts_day_or_month)
PRIMARY KEY (tenant, toStartOfHour(ts), id) ORDER BY (tenant, toStartOfHour(ts), id, ts)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS native_histograms$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    id UInt64 CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    schema Int8,
    hint UInt8,
    is_float Bool,
    count Float64 CODEC(Delta, ZSTD(1)),
    sum Float64 CODEC(Delta, ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    zero_threshold Float64 CODEC(ZSTD(1)),
    zero_count Float64 CODEC(ZSTD(1)),
    p_idx Array(Int32) CODEC(ZSTD(1)),
    p_cnt Array(Float64) CODEC(ZSTD(1)),
    n_idx Array(Int32) CODEC(ZSTD(1)),
    n_cnt Array(Float64) CODEC(ZSTD(1)),
    bounds Array(Float64) CODEC(ZSTD(1))
) ENGINE = ${replicated}MergeTree
PARTITION BY (ret, $ts_day_or_month)
PRIMARY KEY (tenant, toStartOfHour(ts), id) ORDER BY (tenant, toStartOfHour(ts), id, ts)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS exemplars$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    id UInt64 CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    v Float64 CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8),
    s Map(LowCardinality(String), String) CODEC(ZSTD(1))
) ENGINE = ${replicated}MergeTree
PARTITION BY (ret, $ts_day_or_month)
PRIMARY KEY (tenant, toStartOfHour(ts), id) ORDER BY (tenant, toStartOfHour(ts), id, ts)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS metric_meta$local $on_cluster (
    tenant UInt32,
    metric LowCardinality(String),
    type LowCardinality(String),
    unit LowCardinality(String),
    help String,
    temporality UInt8,
    monotonic Bool,
    s Map(LowCardinality(String), String),
    seen DateTime('UTC') DEFAULT now()
) ENGINE = ${replicated}ReplacingMergeTree(seen) ORDER BY (tenant, metric, type, unit)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS spans$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    dur UInt64 CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(NONE),
    parent_id FixedString(8) CODEC(ZSTD(1)),
    state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    service LowCardinality(String),
    name LowCardinality(String),
    kind UInt8,
    status UInt8,
    status_msg String CODEC(ZSTD(1)),
    rid UInt64 CODEC(ZSTD(1)),
    scope LowCardinality(String),
    s Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    i Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    f Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    b Map(LowCardinality(String), Bool) CODEC(ZSTD(1)),
    j Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    dropped UInt32 CODEC(ZSTD(1)),
    ev_ts Array(DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    ev_name Array(LowCardinality(String)) CODEC(ZSTD(1)),
    ev_j Array(String) CODEC(ZSTD(1)),
    ln_trace Array(FixedString(16)) CODEC(ZSTD(1)),
    ln_span Array(FixedString(8)) CODEC(ZSTD(1)),
    ln_j Array(String) CODEC(ZSTD(1)),
    items Array(String) ALIAS arrayMap(x -> concat(x.1, '=', x.2), s::Array(Tuple(String, String))),
    trace_hex String ALIAS lower(hex(trace_id)),
    INDEX ix_trace trace_hex TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_items items TYPE text(tokenizer = 'array', posting_list_codec = 'bitpacking'),
    INDEX ix_dur dur TYPE minmax
) ENGINE = ${replicated}MergeTree
PARTITION BY (ret, $ts_day_or_month)
PRIMARY KEY (tenant, toStartOfHour(ts), service) ORDER BY (tenant, toStartOfHour(ts), service, ts)
SETTINGS $durable;

CREATE TABLE IF NOT EXISTS trace_index$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    trace_id FixedString(16) CODEC(NONE),
    start SimpleAggregateFunction(min, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    end SimpleAggregateFunction(max, DateTime64(9, 'UTC')) CODEC(ZSTD(1)),
    spans SimpleAggregateFunction(sum, UInt64),
    errors SimpleAggregateFunction(sum, UInt64),
    services SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    root_service SimpleAggregateFunction(max, String),
    root_name SimpleAggregateFunction(max, String),
    root_dur SimpleAggregateFunction(max, UInt64)
) ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY (ret, $start_day_or_month) ORDER BY (tenant, trace_id)
SETTINGS index_granularity = 1024, $durable;

CREATE MATERIALIZED VIEW IF NOT EXISTS trace_index_mv$local $on_cluster TO trace_index$local AS
SELECT tenant, ret, trace_id,
    min(ts) AS start,
    max(addNanoseconds(ts, least(dur, 86400000000000))) AS end,
    count() AS spans,
    countIf(status = 2) AS errors,
    groupUniqArray(service) AS services,
    max(if(parent_id = toFixedString('', 8), service, '')) AS root_service,
    max(if(parent_id = toFixedString('', 8), name, '')) AS root_name,
    max(if(parent_id = toFixedString('', 8), dur, 0)) AS root_dur
FROM spans$local GROUP BY tenant, ret, trace_id;

CREATE TABLE IF NOT EXISTS logs$local $on_cluster (
    tenant UInt32,
    ret UInt16,
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    observed DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    service LowCardinality(String),
    sev UInt8,
    sev_text LowCardinality(String),
    event LowCardinality(String),
    body String CODEC(ZSTD(1)),
    body_json Bool,
    shape UInt64 MATERIALIZED cityHash64(replaceRegexpAll(body, '[0-9a-fA-F]{8,}|[0-9]+', '0')) CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    rid UInt64 CODEC(ZSTD(1)),
    scope LowCardinality(String),
    s Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    i Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    f Map(LowCardinality(String), Float64) CODEC(ZSTD(1)),
    b Map(LowCardinality(String), Bool) CODEC(ZSTD(1)),
    j Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    dropped UInt32 CODEC(ZSTD(1)),
    items Array(String) ALIAS arrayMap(x -> concat(x.1, '=', x.2), s::Array(Tuple(String, String))),
    trace_hex String ALIAS replaceOne(lower(hex(trace_id)), '00000000000000000000000000000000', ''),
    INDEX ix_trace trace_hex TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_items items TYPE text(tokenizer = 'array', posting_list_codec = 'bitpacking'),
    INDEX ix_body body TYPE text(tokenizer = 'splitByNonAlpha', preprocessor = lower(body), posting_list_codec = 'bitpacking')
) ENGINE = ${replicated}MergeTree
PARTITION BY (ret, $ts_day_or_month)
PRIMARY KEY (tenant, toStartOfHour(ts), service, shape) ORDER BY (tenant, toStartOfHour(ts), service, shape, ts)
SETTINGS $durable;
