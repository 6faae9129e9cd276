"""The server watching itself: named events, counters, and how they become telemetry of the tenant `_gnomon`."""
