"""The questions: 25 range queries over three kinds of range, and the 12 panels of a dashboard."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """A range query that ends where the data end.

    Attributes:
        name: what it stands for, in the tables.
        text: the expression.
        hours: the range.
        step_s: between its steps.
    """

    name: str
    text: str
    hours: float
    step_s: int = 15


_RATE = "rate(http_requests_total[5m])"
_BUCKETS = "rate(http_request_duration_seconds_bucket[5m])"
_SOME = '{__name__=~"http_requests_.*|node_cpu_.*",instance=~"10[.][0-1][.]1[0-9]+[.].*"}'
_MEMORY = "node_memory_used_bytes / on (instance) node_memory_limit_bytes"
# The windows of subqueries end between two of their steps: 2.42 would take in a step on their left edge, 3.x does not.

HOUR = (
    Query("rate by path", f"sum by (path) ({_RATE})", 1),
    Query("error ratio", f'sum by (job) (rate(http_requests_total{{status="500"}}[5m])) / sum by (job) ({_RATE})', 1),
    Query("p99 by path", f"histogram_quantile(0.99, sum by (le, path) ({_BUCKETS}))", 1),
    Query("top 5", f"topk(5, sum by (instance, path) ({_RATE}))", 1),
    Query("join with info", f"{_MEMORY} * on (instance) group_left (version) build_info", 1),
    Query("subquery", f"max_over_time(sum by (job) ({_RATE})[29m30s:1m])", 1, 60),
    Query(
        "regexes",
        'sum by (instance) (rate(http_requests_total{path=~"/api/v1/(users|items|orders).*",status!~"2.."}[5m]))',
        1,
    ),
    Query("gauges as they are", "queue_depth", 1),
    Query("CPU in use", '100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])))', 1),
)
DAY = (
    Query("rate by path", f"sum by (path) ({_RATE})", 24, 300),
    Query("p90", f"histogram_quantile(0.9, sum by (le) ({_BUCKETS}))", 24, 300),
    Query("top 5 of increases", "topk(5, sum by (instance) (increase(http_requests_total[1h])))", 24, 300),
    Query("averages over an hour", "avg_over_time(queue_depth[1h])", 24, 300),
    Query("quantile", "quantile by (job) (0.95, temperature_celsius)", 24, 300),
    Query("delta", "delta(node_memory_used_bytes[1h])", 24, 300),
    Query("sum of counters", "sum by (job) (http_requests_total)", 24, 300),
    Query("subquery", "min_over_time(avg by (job) (queue_depth)[59m30s:1m])", 24, 300),
    Query("deviation", 'stddev by (job) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))', 24, 300),
)
MANY = (
    Query("rate by path", f"sum by (path) ({_RATE})", 1),
    Query("p99 by job", f"histogram_quantile(0.99, sum by (le, job) ({_BUCKETS}))", 1),
    Query("top 10 with errors", 'topk(10, sum by (instance) (rate(http_requests_total{status="500"}[5m])))', 1),
    Query("join, aggregated", f"sum by (job) ({_MEMORY} * on (instance) group_left (version) build_info)", 1),
    Query("average of gauges", "avg by (job) (queue_depth)", 1),
    Query("regexes on name and instance", f"sum by (job) (rate({_SOME}[5m]))", 1),
    Query(
        "subquery",
        'max_over_time(sum by (job) (rate(node_cpu_seconds_total{mode!="idle"}[5m]))[9m30s:1m])',
        1,
        60,
    ),
)
PANELS = (
    *(query for query in HOUR if query.step_s == 15),
    Query("p90, 6 h", f"histogram_quantile(0.9, sum by (le) ({_BUCKETS}))", 6),
    Query("rate by job, 6 h", f"sum by (job) ({_RATE})", 6),
    Query("memory, 6 h", f"avg by (job) ({_MEMORY})", 6),
    Query("temperature, 6 h", "max_over_time(temperature_celsius[5m])", 6),
)
