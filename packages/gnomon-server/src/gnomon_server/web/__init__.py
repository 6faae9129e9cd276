"""The console: the files that `ui/` was built into, served from memory."""

from gnomon_server.web.console import build

__all__ = ["build"]
