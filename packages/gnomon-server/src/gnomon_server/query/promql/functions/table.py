"""All functions by name: what implements `signatures.FUNCTIONS`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.functions import dates, histograms, info, instant, labels, over_ranges, sorting
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Value

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **over_ranges.FUNCTIONS,
        **instant.FUNCTIONS,
        **dates.FUNCTIONS,
        **sorting.FUNCTIONS,
        **labels.FUNCTIONS,
        **histograms.FUNCTIONS,
    }
)

WITHOUT_ARGUMENTS: Mapping[str, Callable[[Call, Any, Context], Value]] = info.WITHOUT_ARGUMENTS
"""Those that evaluate what they want themselves; they get the evaluator as their second argument."""
