"""What the engine is told at start, the folders it owns, and the configuration file it writes for the library."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

MIB = 1 << 20

# Shares of the memory ceiling. The library's own defaults (5 GB each for several) are for a dedicated machine.
_CACHE_SHARES = {
    "mark_cache_size": 16,
    "index_mark_cache_size": 32,
    "primary_index_cache_size": 32,
    "text_index_tokens_cache_size": 64,
    "text_index_header_cache_size": 64,
    "text_index_postings_cache_size": 32,
    "query_condition_cache_size": 64,
    "vector_similarity_index_cache_size": 128,
    "compiled_expression_cache_size": 64,
}

_TEMPLATE = """<clickhouse>
    <!-- Written by the engine at every start. To use another, give it with config-file. -->
    <logger>
        <log>{log}</log>
        <size>10M</size>
        <count>2</count>
    </logger>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
{caches}
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <backups>
        <allowed_path>{backups}</allowed_path>
    </backups>
    <merge_tree>
        <!-- A broken part is set aside and reported (system.detached_parts); the others must open. -->
        <max_suspicious_broken_parts>10000</max_suspicious_broken_parts>
        <max_suspicious_broken_parts_bytes>1099511627776</max_suspicious_broken_parts_bytes>
    </merge_tree>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the engine; each refuses with its own error."""

    concurrent_queries: int = 8
    """Statements that run at once."""
    queued_queries: int = 64
    """Statements that wait for a place; one more is refused with 503 and code 202."""
    connections: int = 512
    """Open connections; one more is closed at once."""
    body_bytes: int = 1 << 30
    """A request body, as sent; 413 above."""
    body_memory_bytes: int = 16 * MIB
    """A body above this is spooled to disk. Reached by all running and queued statements at once, 72 times this."""
    query_bytes: int = 16 * MIB
    """The text of a statement (not its data)."""
    idle_s: float = 3600.0
    """A connection without a request for so long is closed."""
    stall_s: float = 120.0
    """A client that stops in the middle of sending its request or taking its answer for so long is dropped."""
    grace_s: float = 10.0
    """How long running statements may finish at a stop before they are killed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders below the data directory."""

    root: Path

    @property
    def database(self) -> Path:
        """The library's own: tables and their metadata."""
        return self.root / "db"

    @property
    def spool(self) -> Path:
        """Large bodies and results in transit; files without a name."""
        return self.root / "spool"

    @property
    def backups(self) -> Path:
        """The only place BACKUP may write to."""
        return self.root / "backups"

    @property
    def work(self) -> Path:
        """The working directory: empty, for the library reads `./config.xml` from it on import."""
        return self.root / "work"

    @property
    def lock(self) -> Path:
        """Held for the life of the process; contains its id."""
        return self.root / "engine.lock"

    @property
    def log(self) -> Path:
        """Warnings and errors of the library."""
        return self.root / "engine.log"

    @property
    def config(self) -> Path:
        """The configuration written when none is given."""
        return self.root / "engine.xml"

    def create(self) -> None:
        """Make the folders, readable by the owner only."""
        for folder in (self.root, self.database, self.spool, self.backups, self.work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def default_memory_bytes() -> int:
    """Half of the memory we may have: the library counts what it tracks, and resident memory reaches twice that."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, cgroup_limit_bytes() or machine) // 2


def cgroup_limit_bytes(own: Path = Path("/proc/self/cgroup"), tree: Path = Path("/sys/fs/cgroup")) -> int:
    """The tightest memory limit of our control group and those above it; 0 for none (cgroups(7), version 2)."""
    try:
        group = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return 0
    folder = tree / group.lstrip("/")
    limits = []
    for place in (folder, *folder.parents):
        if not place.is_relative_to(tree):
            break
        with suppress(OSError, ValueError):  # the root has no such file, and "max" is no number
            limits.append(int((place / "memory.max").read_text()))
    return min(limits, default=0)


def write_config(layout: Layout, memory_bytes: int) -> Path:
    """Write the library's configuration: memory ceiling, caches in proportion to it, log, places."""
    caches = "\n".join(f"    <{name}>{memory_bytes // share}</{name}>" for name, share in _CACHE_SHARES.items())
    text = _TEMPLATE.format(
        log=escape(str(layout.log)), memory=memory_bytes, caches=caches, backups=escape(str(layout.backups))
    )
    layout.config.write_text(text, encoding="utf-8")
    return layout.config
