"""Bytes of OTLP and of remote write, written by hand: pure functions and caches, no I/O.

The generated protobuf classes cost ten times as much, for they make an object of every attribute; here what was
encoded once is remembered. The field numbers are those of https://github.com/open-telemetry/opentelemetry-proto.
"""
