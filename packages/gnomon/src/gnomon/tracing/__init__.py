"""Traces: spans behind OpenTelemetry's API, encoded the moment they end."""
