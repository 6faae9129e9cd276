"""Ways in for what is logged by other means: the standard library, structlog, loguru, and servers' own logs."""
