"""One set of .sql files for three deployments: the embedded engine, one ClickHouse server, a cluster."""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

_DURABLE = {
    # A part is synced, and so is the directory its rename happened in: without the second, a power cut can lose both.
    "fsync_after_insert": "1",
    "fsync_part_directory": "1",
    # Merged parts replace durable ones only once durable themselves.
    "min_compressed_bytes_to_fsync_after_merge": "1",
    "old_parts_lifetime": "480",
    # Small inserts as one file instead of fifty: 6.5 ms against 48 ms for 500 spans, synced.
    "min_bytes_for_wide_part": "134217728",
    "enable_block_number_column": "1",
    "enable_block_offset_column": "1",
    "parts_to_delay_insert": "500",
    "parts_to_throw_insert": "2000",
}
# Else even DROP PARTITION fails on a full disk.
_EMBEDDED = {
    "min_free_disk_bytes_to_perform_insert": "67108864",
    # A repeated insert with the same token is dropped.
    "non_replicated_deduplication_window": "10000",
}

# What the sharding of a Distributed table goes by.
_SHARD_BY = {
    "spans": "cityHash64(trace_id)",
    "trace_index": "cityHash64(trace_id)",
    "samples": "cityHash64(tenant, id)",
    "native_histograms": "cityHash64(tenant, id)",
    "exemplars": "cityHash64(tenant, id)",
    "series": "cityHash64(tenant, id)",
    "resources": "cityHash64(tenant, rid)",
    "metric_meta": "cityHash64(tenant, metric)",
}

# Partitions are days; what is older than the product itself is back-fill, and months do.
_BY_DAY_SINCE = "2026-01-01"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the tables live. `cluster` names a ClickHouse cluster; embedded and single servers have none."""

    cluster: str = ""
    embedded: bool = True

    def macros(self) -> dict[str, str]:
        """What the $names in the .sql files stand for."""
        settings = dict(_DURABLE) | (_EMBEDDED if not self.cluster else {})
        return {
            "on_cluster": f"ON CLUSTER '{self.cluster}'" if self.cluster else "",
            "replicated": "Replicated" if self.cluster else "",
            "durable": ", ".join(f"{name} = {value}" for name, value in settings.items()),
            "day_or_month": _day_or_month("day"),
            "ts_day_or_month": _day_or_month("ts"),
            "start_day_or_month": _day_or_month("start"),
        }


def _day_or_month(column: str) -> str:
    return f"if({column} >= toDate('{_BY_DAY_SINCE}'), toDate({column}), toStartOfMonth({column}))"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its statements may be run again after an interruption."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(deployment: Deployment) -> list[Migration]:
    """All migrations, in order, as statements for this deployment."""
    folder = resources.files("gnomon_server.store") / "sql"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = []
    for file in files:
        number, _, name = file.name.removesuffix(".sql").partition("_")
        statements = tuple(_statements(file.read_text("utf-8"), deployment.macros()))
        found.append(Migration(int(number), name, statements))
    return found


def _statements(text: str, macros: dict[str, str]) -> Iterator[str]:
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    for statement in string.Template(code).substitute(macros).split(";\n"):
        stripped = statement.strip().removesuffix(";").strip()
        if stripped:
            yield stripped
