"""The shop's past: weeks of the telemetry that its services would have sent, written in minutes."""
