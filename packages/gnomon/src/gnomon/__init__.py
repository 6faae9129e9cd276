"""The Gnomon SDK: an empty home until its own issue lands. Use any OpenTelemetry SDK with the server meanwhile."""

__version__ = "0.1.0"
