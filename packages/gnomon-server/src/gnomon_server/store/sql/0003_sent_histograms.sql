-- Exponential histograms of delta temporality: their rows hold the series' running total, as those of other senders do,
-- and in `sent_*` the change as it was sent. `min` and `max` do not add up: they are those of the interval sent.

ALTER TABLE native_histograms$local $on_cluster
    ADD COLUMN IF NOT EXISTS sent_schema Int8,
    ADD COLUMN IF NOT EXISTS sent_count Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_sum Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_zero_threshold Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_zero_count Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_p_idx Array(Int32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_p_cnt Array(Float64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_n_idx Array(Int32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS sent_n_cnt Array(Float64) CODEC(ZSTD(1));

-- `sent_*` is null, or empty, where the sender reports totals, and of changes that were stored before they were added up.
CREATE OR REPLACE VIEW gnomon_sql.histograms $on_cluster AS
SELECT
    p.ts AS time,
    d.metric AS metric,
    d.service AS service,
    d.labels AS labels,
    p.count AS count,
    p.sum AS sum,
    p.min AS min,
    p.max AS max,
    p.schema AS scale,
    p.zero_threshold AS zero_threshold,
    p.zero_count AS zero_count,
    p.p_idx AS positive_index,
    p.p_cnt AS positive_count,
    p.n_idx AS negative_index,
    p.n_cnt AS negative_count,
    p.bounds AS bounds,
    p.start AS start_time,
    if(d.kind >= 128, 'delta', 'cumulative') AS temporality,
    p.id AS series_id,
    d.name AS name,
    d.rid AS resource_id,
    if(d.kind >= 128 AND p.hint != 3, p.sent_count, NULL) AS sent_count,
    if(d.kind >= 128 AND p.hint != 3, p.sent_sum, NULL) AS sent_sum,
    if(d.kind >= 128 AND p.hint != 3, p.sent_schema, NULL) AS sent_scale,
    if(d.kind >= 128 AND p.hint != 3, p.sent_zero_threshold, NULL) AS sent_zero_threshold,
    if(d.kind >= 128 AND p.hint != 3, p.sent_zero_count, NULL) AS sent_zero_count,
    p.sent_p_idx AS sent_positive_index,
    p.sent_p_cnt AS sent_positive_count,
    p.sent_n_idx AS sent_negative_index,
    p.sent_n_cnt AS sent_negative_count
FROM gnomon.native_histograms AS p
INNER JOIN (
    SELECT tenant, metric, id, kind, service, labels, name, rid FROM gnomon.series LIMIT 1 BY tenant, metric, id
) AS d ON p.tenant = d.tenant AND p.id = d.id;
