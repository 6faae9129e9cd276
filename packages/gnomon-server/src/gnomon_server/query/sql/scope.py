"""One tenant's rows: the condition that is added to every base table below the views.

`additional_table_filters` reaches through views, joins and subqueries, and prunes by the primary key (tests try each).
It is a setting of ours beside the text; the text cannot hold settings. Further settings belong to it, two of them for
faults seen with ClickHouse 26.9:
- conditions in PREWHERE are reordered by cost, and then `toUInt32(body) > 0` ran on other tenants' rows of the same
  granule before `tenant = 1`: the error quoted their text. Kept in order, the tenant comes first.
- the query condition cache remembers granules that a join's runtime filter had excluded, and later queries missed rows.
- readonly, so that what the lists might overlook still writes nothing.
"""

from gnomon_server.model.tables import TABLES

DATABASE = "gnomon_sql"
"""Where the views of store/sql/0002_views.sql live, and what an unqualified name means."""

VIEWS = frozenset(
    {"exemplars", "histograms", "logs", "metric_metadata", "metrics", "resources", "series", "spans", "traces"}
)

# `tenants` has a row for each tenant: a tenant may see its own.
BASE_TABLES = ("tenants", "trace_index", *TABLES)


def tenant_settings(tenant: int) -> dict[str, str]:
    """The settings that confine a query to the rows of the tenant of this number."""
    tables = ", ".join(f"'gnomon.{table}': 'tenant = {tenant:d}'" for table in BASE_TABLES)
    return {
        "additional_table_filters": f"{{{tables}}}",
        "allow_reorder_prewhere_conditions": "0",
        "use_query_condition_cache": "0",
        "do_not_merge_across_partitions_select_final": "1",
        "readonly": "1",
    }
