"""Prometheus' HTTP API, as Prometheus 3 has it: https://prometheus.io/docs/prometheus/latest/querying/api/."""
