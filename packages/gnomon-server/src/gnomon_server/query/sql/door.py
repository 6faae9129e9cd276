"""The door for SQL from people: checked, bound to their tenant, run read-only within limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import pyarrow as pa

from gnomon_server.errors import InvalidInput
from gnomon_server.query.sql.gate import admit
from gnomon_server.query.sql.refusal import engine_error
from gnomon_server.query.sql.scope import DATABASE, tenant_settings
from gnomon_server.store.interface import QueryLimits, QueryStats, Store

NO_TENANT = 0
"""No tenant has this number: who has stored nothing sees nothing."""

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Tenants(Protocol):
    """Names to numbers (`store.tenants.TenantNumbers`)."""

    def known(self, name: str) -> int | None:
        """The number of a tenant that has stored something."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, the ClickHouse type of each column, what it cost."""

    table: pa.Table
    types: tuple[str, ...]
    stats: QueryStats


class SqlDoor:
    """Runs untrusted SQL over the documented views."""

    def __init__(self, store: Store, tenants: Tenants) -> None:
        self._store = store
        self._tenants = tenants

    async def run(
        self, query: str, params: Mapping[str, Any], tenant: str, limits: QueryLimits
    ) -> tuple[pa.Table, QueryStats]:
        """The rows of `query` for `tenant`; see `answer`."""
        answer = await self.answer(query, params, tenant, limits)
        return answer.table, answer.stats

    async def answer(self, query: str, params: Mapping[str, Any], tenant: str, limits: QueryLimits) -> Answer:
        """Check, then run. Cancelling the task cancels the query.

        Args:
            query: one SELECT over the views, with `{name:Type}` where a parameter stands.
            params: their values: text, numbers, booleans, None, lists and maps of those.
            tenant: whose rows.
            limits: what it may cost.

        Raises:
            InvalidInput: `sql_*`, with the place in the text where it is known.
            DeadlineExceeded, TooLarge, Unavailable: see `store.interface.Store.query`.
        """
        checked = await admit(self._store, query)
        values = _values(checked.parameters, params)
        settings = {
            **tenant_settings(self._tenants.known(tenant) or NO_TENANT),
            # toStartOfMinute(time) stays a time with nanoseconds, and does not become a 32-bit one.
            "enable_extended_results_for_datetime_functions": "1",
            "max_result_bytes": str(limits.memory_bytes),
        }
        ask = partial(self._store.query, params=values, database=DATABASE, settings=settings, limits=limits)
        try:
            described, _ = await ask(f"DESCRIBE ({checked.sql})")
            table, stats = await ask(checked.sql)
        except InvalidInput as error:
            raise engine_error(error, query) from None
        return Answer(table, tuple(described["type"].to_pylist()), stats)


def _values(named: frozenset[str], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the query names; others are refused, since a misspelt one would go unnoticed."""
    for name in params:
        if not _PARAMETER.fullmatch(name) or name not in named:
            raise InvalidInput("sql_parameter_unknown", f"the query has no parameter {name[:80]!r}", where="params")
    if missing := sorted(named - set(params)):
        hint = f'give it in params: {{"{missing[0]}": ...}}'
        raise InvalidInput("sql_parameter_missing", f"no value for parameter {missing[0]!r}", where="params", hint=hint)
    return dict(params)
