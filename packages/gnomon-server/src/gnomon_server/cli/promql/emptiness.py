"""Why an answer is empty: a metric or a label's value that nobody sends, and what is near to it."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches

from gnomon_server.cli.promql.server import Prometheus
from gnomon_server.errors import InvalidInput
from gnomon_server.query.promql.ast import VectorSelector, walk
from gnomon_server.query.promql.parser import parse
from gnomon_server.query.syntax.lexer import quote
from gnomon_server.query.syntax.matchers import METRIC_NAME, Matcher, MatchOp
from gnomon_server.selfmon.events import printable

_MOST_NAMES = 20_000  # that are looked through for a near one: some tenths of a second
_NEAR = 3
_MOST_QUESTIONS = 5  # to the server, of one query

LabelValues = Callable[[str, str], list[str]]


def reasons(text: str, server: Prometheus) -> Iterator[str]:
    """What is known about the metrics of the query `text`; nothing for what is no query of ours."""
    return explained(text, lambda label, selector: server.label_values(label, selector, _MOST_NAMES))


def explained(text: str, values: LabelValues) -> Iterator[str]:
    """As `reasons`; `values(label, selector)` are the values of a label of the series that match."""
    try:
        selectors = [node for node in walk(parse(text)) if isinstance(node, VectorSelector)]
    except InvalidInput:
        return
    named = {name: node for node in selectors if (name := _equal(node, METRIC_NAME))}
    known = set(values(METRIC_NAME, "")) if named else set()
    missing = [name for name in named if name not in known]
    for name in missing[:_MOST_QUESTIONS]:
        yield _unknown(f"no metric {printable(name)} is known", name, known)
    said = False
    if not missing:
        for line in _labels([(name, one) for name, node in named.items() for one in node.matchers], values):
            said = True
            yield line
    if named and not missing and not said:
        yield "its metrics are known: without a sample then or shortly before, or a comparison or a join leaves none"


def _labels(pairs: list[tuple[str, Matcher]], values: LabelValues) -> Iterator[str]:
    asked = [(name, one) for name, one in pairs if one.op is MatchOp.EQUAL and one.value and one.name != METRIC_NAME]
    for name, one in asked[:_MOST_QUESTIONS]:
        found = set(values(one.name, "{" + quote(name) + "}"))
        if one.value not in found:
            what = f"no series of {printable(name)} has {printable(one.name)}={quote(one.value)}"
            yield _unknown(what, one.value, found)


def _equal(node: VectorSelector, label: str) -> str:
    return next((one.value for one in node.matchers if one.name == label and one.op is MatchOp.EQUAL), "")


def _unknown(what: str, wanted: str, known: set[str]) -> str:
    near = get_close_matches(wanted, sorted(known), _NEAR, 0.6)
    near += [name for name in sorted(known) if wanted and wanted in name and name not in near]
    return f"{what}; near are: {', '.join(printable(name) for name in near[:_NEAR])}" if near else what
