"""One set of .sql files for three deployments: the embedded engine, one ClickHouse server, a cluster.

On a cluster every table exists twice: `spans_local` on each node holds rows, `spans` reads all of them (Distributed).
Inserts go to the `_local` table of the node that takes them, so that a quorum deduplicates and counts them.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources

from gnomon_server.errors import InvalidInput

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
    # Fewer, wider merges: at the default of 5 merging cost more CPU than inserting (docs/decisions/0004-tables.md).
    "merge_selector_base": "12",
    "parts_to_delay_insert": "500",
    "parts_to_throw_insert": "2000",
    # Else even DROP PARTITION fails on a full disk.
    "min_free_disk_bytes_to_perform_insert": "67108864",
}
# A repeated insert with the same token is dropped. A spool may come days late.
_REMEMBERED_TOKENS = {"non_replicated_deduplication_window": "10000"}
_REMEMBERED_TOKENS_REPLICATED = {
    "replicated_deduplication_window": "10000",
    "replicated_deduplication_window_seconds": "604800",
}

# What a Distributed table's sharding goes by: the rows of a trace, of a series, of a resource are on one node.
_SHARD_BY = {
    "spans": "cityHash64(trace_id)",
    "trace_index": "cityHash64(trace_id)",
    "samples": "cityHash64(tenant, id)",
    "native_histograms": "cityHash64(tenant, id)",
    "exemplars": "cityHash64(tenant, id)",
    "series": "cityHash64(tenant, id)",
    "resources": "cityHash64(tenant, rid)",
    "metric_meta": "cityHash64(tenant, metric)",
    "tenants": "cityHash64(tenant)",
    "logs": "rand()",
    "migrations": "number",
}
_CREATE_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)_local ")
_ADD_COLUMN = re.compile(r"ALTER TABLE (\w+)_local ON CLUSTER '\S+'\s+ADD COLUMN ")
_CLUSTER_NAME = re.compile(r"[\w.-]+")

FOLDER = resources.files("gnomon_server.store") / "sql"
"""The migrations: NNNN_name.sql."""

BY_DAY_SINCE = date(2026, 1, 1)
"""Partitions are days; what is older than the product itself is back-fill, and months do."""

_MIGRATIONS_TABLE = """CREATE TABLE IF NOT EXISTS migrations$local $on_cluster (
    number UInt32, name String, at DateTime DEFAULT now()
) ENGINE = ${replicated}MergeTree ORDER BY number SETTINGS $durable"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the tables live. `cluster` names a ClickHouse cluster; embedded and single servers have none."""

    cluster: str = ""
    embedded: bool = True

    def __post_init__(self) -> None:
        if self.cluster and not _CLUSTER_NAME.fullmatch(self.cluster):
            raise InvalidInput("config_invalid", f"{self.cluster!r} is not the name of a cluster", "store.cluster")

    @property
    def on_cluster(self) -> str:
        """The clause that makes a statement run on every node, or nothing."""
        return f"ON CLUSTER '{self.cluster}'" if self.cluster else ""

    def local(self, table: str) -> str:
        """The table that holds rows itself."""
        return f"{table}_local" if self.cluster else table

    def system(self, table: str) -> str:
        """A system table of every node, as a table expression."""
        return f"clusterAllReplicas('{self.cluster}', system, {table})" if self.cluster else f"system.{table}"

    def macros(self) -> dict[str, str]:
        """What the $names in the .sql files stand for."""
        settings = _DURABLE | (_REMEMBERED_TOKENS_REPLICATED if self.cluster else _REMEMBERED_TOKENS)
        return {
            "local": "_local" if self.cluster else "",
            "on_cluster": self.on_cluster,
            "replicated": "Replicated" if self.cluster else "",
            "durable": ", ".join(f"{name} = {value}" for name, value in settings.items()),
            "day_or_month": _day_or_month("day"),
            "ts_day_or_month": _day_or_month("ts"),
            "start_day_or_month": _day_or_month("start"),
        }

    def statements(self, text: str) -> Iterator[str]:
        """The statements of a file for this deployment."""
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
        for piece in string.Template(code).substitute(self.macros()).split(";\n"):
            statement = piece.strip().removesuffix(";").strip()
            if statement:
                yield statement
                yield from self._distributed(statement)

    def _distributed(self, statement: str) -> Iterator[str]:
        """The Distributed table over a `_local` one, and its new columns: it does not learn of them by itself."""
        if created := _CREATE_TABLE.match(statement):
            table = created[1]
            yield (
                f"CREATE TABLE IF NOT EXISTS {table} {self.on_cluster} AS {table}_local "
                f"ENGINE = Distributed('{self.cluster}', currentDatabase(), {table}_local, {_SHARD_BY[table]})"
            )
        elif added := _ADD_COLUMN.match(statement):
            yield statement.replace(f"{added[1]}_local", added[1], 1)


def _day_or_month(column: str) -> str:
    return f"if({column} >= toDate('{BY_DAY_SINCE}'), toDate({column}), toStartOfMonth({column}))"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its statements may be run again after an interruption."""

    number: int
    name: str
    statements: tuple[str, ...]


def migrations(deployment: Deployment) -> list[Migration]:
    """All migrations, in order, as statements for this deployment."""
    files = sorted((file for file in FOLDER.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = []
    for file in files:
        number, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, tuple(deployment.statements(file.read_text("utf-8")))))
    return found


def migrations_table(deployment: Deployment) -> list[str]:
    """The statements that create the table in which applied migrations are noted."""
    return list(deployment.statements(_MIGRATIONS_TABLE))
