"""Names by Prometheus' rules: the cases of otlptranslator's own tests (metric, unit and label namer)."""

import math

import pytest

from gnomon_server.model.prometheus_names import bucket_bound, label_name, metric_name

CASES = """
requests                                |                            | counter   | requests_total
cpu_usage                               | 1                          | gauge     | cpu_usage_ratio
items                                   | 1                          | counter   | items_total
response_time                           | ms                         | gauge     | response_time_milliseconds
memory_usage                            | By                         | gauge     | memory_usage_bytes
requests                                | 1/s                        | gauge     | requests_per_second
throughput                              | By/s                       | gauge     | throughput_bytes_per_second
custom_metric                           | custom_unit                | gauge     | custom_metric_custom_unit
custom_metric                           | {custom}                   | gauge     | custom_metric
custom_metric                           | By/{custom}                | gauge     | custom_metric_bytes
requests_total                          |                            | counter   | requests_total
cpu_usage_ratio                         | 1                          | gauge     | cpu_usage_ratio
response_time_seconds                   | s                          | gauge     | response_time_seconds
requests                                | 1/s                        | counter   | requests_per_second_total
123_requests                            |                            | counter   | _123_requests_total
a__b__c                                 | unit__with__underscores    | gauge     | a_b_c_unit_with_underscores
custom                                  | unit@with#special/chars    | gauge     | custom_unit_with_special_per_chars
@#$%                                    |                            | gauge     |
@#$%                                    |                            | counter   | total
request_duration                        | s                          | histogram | request_duration_seconds
request_size                            | By                         | histogram | request_size_bytes
active_connections                      |                            | updown    | active_connections
uptime                                  | d                          | gauge     | uptime_days
duration                                | h                          | gauge     | duration_hours
timeout                                 | min                        | gauge     | timeout_minutes
latency                                 | us                         | gauge     | latency_microseconds
precision_time                          | ns                         | gauge     | precision_time_nanoseconds
cache_size                              | KiBy                       | gauge     | cache_size_kibibytes
memory                                  | MiBy                       | gauge     | memory_mebibytes
storage                                 | GiBy                       | gauge     | storage_gibibytes
capacity                                | TiBy                       | gauge     | capacity_tibibytes
transfer                                | KBy                        | gauge     | transfer_kilobytes
download                                | MBy                        | gauge     | download_megabytes
backup                                  | GBy                        | gauge     | backup_gigabytes
archive                                 | TBy                        | gauge     | archive_terabytes
distance                                | m                          | gauge     | distance_meters
voltage                                 | V                          | gauge     | voltage_volts
current                                 | A                          | gauge     | current_amperes
energy                                  | J                          | gauge     | energy_joules
power                                   | W                          | gauge     | power_watts
weight                                  | g                          | gauge     | weight_grams
temperature                             | Cel                        | gauge     | temperature_celsius
frequency                               | Hz                         | gauge     | frequency_hertz
cpu_usage                               | %                          | gauge     | cpu_usage_percent
requests                                | 1/m                        | gauge     | requests_per_minute
events                                  | 1/h                        | gauge     | events_per_hour
transactions                            | 1/d                        | gauge     | transactions_per_day
reports                                 | 1/w                        | gauge     | reports_per_week
invoices                                | 1/mo                       | gauge     | invoices_per_month
renewals                                | 1/y                        | gauge     | renewals_per_year
custom                                  | 1/custom_unit              | gauge     | custom_per_custom_unit
metric                                  | By/                        | gauge     | metric_bytes
metric                                  | / s                        | gauge     | metric_per_second
metric                                  | By / s                     | gauge     | metric_bytes_per_second
metric                                  | /                          | gauge     | metric
http.request.duration                   | ms                         | histogram | http_request_duration_milliseconds
http.requests                           | 1                          | counter   | http_requests_total
m                                       | {custom}/s                 | gauge     | m_per_second
m                                       | {custom}/{invalid}         | gauge     | m
m                                       | custom@unit#with$chars     | gauge     | m_custom_unit_with_chars
m                                       | By/custom@per#unit         | gauge     | m_bytes_per_custom_per_unit
m                                       | unit@@##$$name             | gauge     | m_unit_name
m                                       | @#$%                       | gauge     | m
m                                       | _custom_unit               | gauge     | m_custom_unit
m                                       | By/_custom__unit_          | gauge     | m_bytes_per_custom_unit
requests_total_bytes                    | By                         | counter   | requests_bytes_total
io                                      | By{written}                | counter   | io_total
node:cpu                                |                            | gauge     | node:cpu
"""


@pytest.mark.parametrize("line", CASES.strip().splitlines())
def test_metric_names_are_those_of_prometheus(line: str) -> None:
    """Unit before `_per_`, before `_total` or `_ratio`; what the name has already is not repeated."""
    name, unit, kind, expected = (part.strip() for part in line.split("|"))
    assert metric_name(name, unit, counter=kind == "counter", gauge=kind == "gauge") == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("label:with:colons", "label_with_colons"),
        ("LabelWithCapitalLetters", "LabelWithCapitalLetters"),
        ("label!with&special$chars)", "label_with_special_chars_"),
        ("label_with_foreign_characters_字符", "label_with_foreign_characters___"),
        ("label.with.dots", "label_with_dots"),
        ("123label", "key_123label"),
        ("_label_starting_with_underscore", "key_label_starting_with_underscore"),
        ("__label_starting_with_2underscores", "__label_starting_with_2underscores"),
        ("regular label", "regular_label"),
        ("a__b", "a__b"),
        # Prometheus refuses the series here; we keep the sample under a label that says where it is from.
        ("", "key_"),
        ("ようこそ", "key_____"),
        ("-", "key__"),
    ],
)
def test_label_names_are_those_of_prometheus(key: str, expected: str) -> None:
    """Underscores are kept as they are, with `key` before a digit or a single underscore."""
    assert label_name(key) == expected


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (0.005, "0.005"),
        (10.0, "10"),
        (1e6, "1000000"),
        (2.5, "2.5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (-1.0, "-1"),
        (0.0, "0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (math.inf, "+Inf"),
    ],
)
def test_bounds_are_written_as_go_does(bound: float, expected: str) -> None:
    """Positional, shortest digits that read back the same: the same `le` by scrape, remote write and OTLP."""
    assert bucket_bound(bound) == expected
