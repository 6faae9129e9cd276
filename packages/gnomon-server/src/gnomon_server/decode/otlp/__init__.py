"""OTLP 1.x (https://opentelemetry.io/docs/specs/otlp/): protobuf and JSON to batches of spans, logs and metrics."""
