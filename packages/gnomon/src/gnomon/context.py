"""What is current here: the span, the baggage, what loggers have bound. One truth: OpenTelemetry's own context.

The API's `attach` copies its dictionary twice and asks three objects; the fast way below makes the same context with
one copy. Everything that reads it through the API sees no difference.
"""

from contextvars import ContextVar, Token
from typing import Any, Protocol

from opentelemetry import context as api
from opentelemetry.context.context import Context
from opentelemetry.trace.propagation import _SPAN_KEY as SPAN_KEY

__all__ = ["SPAN_KEY", "Context", "Current", "attach", "current", "current_ids", "detach", "is_default", "with_span"]

_runtime: Any = api._RUNTIME_CONTEXT  # noqa: SLF001 - the API has no public name for where it keeps the context
# A context implementation of the host's choice (OTEL_PYTHON_CONTEXT) has no such variable: then the API is asked.
_variable: ContextVar[Context] | None = getattr(_runtime, "_current_context", None)
_fill = dict.__setitem__  # a Context refuses changes, but not while it is being made


class Current(Protocol):
    """What our spans offer beyond the API: their ids as they stand on the wire."""

    trace: bytes
    id: bytes
    sampled: bool


def _slowly_attach(context: Context) -> Token[Context]:
    return api.attach(context)


current = _variable.get if _variable is not None else api.get_current
"""The context of the running task or thread."""

attach = _variable.set if _variable is not None else _slowly_attach
"""Make a context current; returns what `detach` wants."""


def detach(token: Token[Context]) -> None:
    """Make current again what was so before `attach`.

    In an asynchronous generator that is closed from elsewhere the token belongs to another context: there is nothing
    to set back there, and that is no error.
    """
    try:  # noqa: SIM105 - twice a request, and `suppress` costs as much as all the rest of this
        _reset(token)
    except ValueError:
        pass


_reset = _variable.reset if _variable is not None else _runtime.detach


def with_span(span: Any, parent: Context | None = None) -> Context:
    """A context with a span in it."""
    context = Context(current() if parent is None else parent)
    _fill(context, SPAN_KEY, span)
    return context


# Instrumentations look for plain names and for the API's own keys, which are made anew in each process.
_SUPPRESSED = (
    "suppress_instrumentation",
    "suppress_http_instrumentation",
    getattr(api, "_SUPPRESS_INSTRUMENTATION_KEY", ""),
    getattr(api, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", ""),
)


def suppressed(context: Context) -> bool:
    """Whether calls made here are nobody's business: those of exporters."""
    return len(context) > 0 and any(context.get(key) for key in _SUPPRESSED)


def is_default(provider: Any) -> bool:
    """Whether one of OpenTelemetry's three providers is the API's own, which does nothing: nobody has set another."""
    module: str = type(provider).__module__
    return module.startswith("opentelemetry.") and not module.startswith("opentelemetry.sdk")


def current_ids() -> tuple[bytes, bytes, bool] | None:
    """Trace id, span id and whether the trace is sampled; of any provider's span; None outside of all spans."""
    span: Any = current().get(SPAN_KEY)
    if span is None:
        return None
    try:
        return span.trace, span.id, span.sampled
    except AttributeError:  # another provider's
        described = span.get_span_context()
        if not described.is_valid:
            return None
        return (
            described.trace_id.to_bytes(16, "big"),
            described.span_id.to_bytes(8, "big"),
            described.trace_flags.sampled,
        )
