"""What the services are made of: the wire, the queue, the cache, the database, their telemetry and their troubles."""
