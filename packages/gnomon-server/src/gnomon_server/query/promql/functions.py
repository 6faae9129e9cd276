"""All functions by name: what implements `signatures.FUNCTIONS`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gnomon_server.query.promql import (
    histogram_functions,
    info,
    instant_functions,
    label_functions,
    range_functions,
)
from gnomon_server.query.promql.ast import Call
from gnomon_server.query.promql.context import Context
from gnomon_server.query.promql.ranges import Function
from gnomon_server.query.promql.values import Value

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **range_functions.FUNCTIONS,
        **instant_functions.FUNCTIONS,
        **label_functions.FUNCTIONS,
        **histogram_functions.FUNCTIONS,
    }
)

WITHOUT_ARGUMENTS: Mapping[str, Callable[[Call, Any, Context], Value]] = MappingProxyType(
    {**instant_functions.WITHOUT_ARGUMENTS, **info.WITHOUT_ARGUMENTS}
)
"""Those that evaluate what they want themselves; they get the evaluator as their second argument."""
