"""What the services say in their logs: a line a request, more when something is wrong, and the business's events."""

from dataclasses import dataclass

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from gnomon_shop.history.calls import Node
from gnomon_shop.history.dialect import HTTPX, RECORDS_FIELD, path
from gnomon_shop.history.wire import Marks, Number, Real, Template, Value, put

_PLANNED = {
    "index out of step with the data": "PlannedError",
    "unexpected None where a voucher was expected": "PlannedError",
}


@dataclass(frozen=True)
class Line:
    """A log record; where texts hold `$name` a column stands."""

    scope: str
    severity: int
    body: str
    attributes: tuple[tuple[str, Value], ...] = ()
    event: str = ""


INFO, WARN, ERROR = 9, 13, 17
_WORDS = {INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}


def line(made: Line, widths: dict[str, int], sampled: bool) -> Template:
    """Its log record; columns are `trace`, `span`, `time` and those in the texts."""
    marks = Marks(widths)
    record = LogRecord(
        time_unix_nano=marks.fixed64("time"),
        observed_time_unix_nano=marks.fixed64("time"),
        severity_number=made.severity,  # type: ignore[arg-type]
        severity_text=_WORDS[made.severity],
        trace_id=marks.raw("trace", 16),
        span_id=marks.raw("span", 8),
        flags=int(sampled),
        event_name=made.event,
    )
    record.body.string_value = marks.text(made.body)
    put(record.attributes, dict(made.attributes), marks)
    return marks.template(record, RECORDS_FIELD)


def served_lines(node: Node) -> list[Line]:
    """What a server says of each request."""
    if node.kind != "server":
        return []
    if node.protocol == "grpc":
        service, _, method = node.operation.partition("/")
        labels = (("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method), ("duration_ms", Real("ms")))
        why = f": {node.error}" if node.ill and node.error else ""
        severity = ERROR if node.ill else INFO
        return [Line("shop.rpc", severity, f"{node.operation} {node.status} in $duration ms{why}", labels)]
    method, _, route = node.operation.partition(" ")
    severity = INFO if node.code < 400 else WARN if node.code < 500 else ERROR
    details = (
        ("http.request.method", method),
        ("url.path", path(node)),
        ("http.route", route),
        ("http.response.status_code", node.code),
        ("duration_ms", Real("ms")),
        ("user_agent.original", "$agent" if node.service == "gateway" else HTTPX),
        *((("client.address", "$address"),) if node.service == "gateway" else ()),
    )
    return [Line("shop.web", severity, f"{method} {path(node)} {node.code} in $duration ms", details)]


def further_lines(node: Node) -> list[Line]:
    """What it says beside that, above all when it went wrong."""
    found = []
    if node.kind == "server" and node.error in _PLANNED:
        method = node.operation.partition(" ")[0]
        thrown = (("exception.type", _PLANNED[node.error]), ("exception.message", node.error))
        found.append(Line("shop.web", ERROR, f"{method} {path(node)} failed: {node.error}", thrown))
    if make := _FURTHER.get((node.service, node.kind)):
        found += make(node)
    return found


def _of_gateway(node: Node) -> list[Line]:
    if node.operation == "GET /api/recommendations" and node.ill:
        return [Line("shop.web", ERROR, f"no recommendations: {node.children[-1].status}")]
    return [Line("shop.web", WARN, "login refused")] if node.operation == "POST /api/login" else []


def _of_gateway_calls(node: Node) -> list[Line]:
    if node.status != "ReadTimeout":
        return []
    return [Line("shop.web", WARN, f"catalogue: {node.operation} was not quick enough, at once again")]


_REFUSED = {
    "402": (WARN, "the bank declined", "declined"),
    "502": (ERROR, "the cart answered 500", "cart"),
    "503": (ERROR, "payment failed: UNAVAILABLE", "payment"),
}


def _of_checkout(node: Node) -> list[Line]:
    if node.status not in _REFUSED:
        return []
    severity, why, reason = _REFUSED[node.status]
    return [Line("shop.checkout", severity, f"no order: {why}", (("shop.reason", reason),))]


def _of_checkout_calls(node: Node) -> list[Line]:
    if node.operation != "shop.Payment/Watch" or node.ill:
        return []
    about = (("shop.order.id", "o-$order"),)
    states = ("refunded", "received")  # the later one first: lines are dated backwards from the end
    return [Line("shop.checkout", INFO, f"refund of o-$order is {state}", about) for state in states]


def _of_payment(node: Node) -> list[Line]:
    if node.ill:
        return [Line("shop.payment", ERROR, f"the bank cannot be reached: {_reason(node)}")]
    if node.operation != "shop.Payment/Settle":
        return []
    said = (("shop.settled.cents", Number("due")),)
    return [Line("shop.payment", INFO, "settled $quantity orders, $cents cents", said)]


def _reason(node: Node) -> str:
    return next((child.error for child in reversed(node.children) if child.error), "the bank answered 503")


_SAID = {
    "visit": "$user comes in",
    "search": "$user searches '$word': $found found",
    "view": "$user looks at $product",
    "cart": "$user takes $quantity x $product",
    "checkout": "$user is at the till with $items items",
    "order": "order o-$order: $cents cents",
    "declined": "$user was declined: $cents cents",
    "return": "order o-$order is returned: $cents cents",
    "mail": "mail sent for o-$order",
}


def fact_line(fact: str) -> Line:
    """The event of a fact; it carries what the ledger's line does."""
    found: dict[str, Value] = {"shop.user.id": "$user", "session.id": "$session"}
    found |= {"shop.product.id": "$product"} if fact in ("view", "cart") else {}
    found |= (
        {"shop.order.id": "o-$order", "shop.order.cents": Number("due")} if fact in ("order", "return", "mail") else {}
    )
    event = "shop.order.placed" if fact == "order" else f"shop.{fact}"
    return Line("shop.business", INFO, _SAID[fact], tuple(found.items()), event)


_FURTHER = {
    ("gateway", "server"): _of_gateway,
    ("gateway", "client"): _of_gateway_calls,
    ("checkout", "server"): _of_checkout,
    ("checkout", "client"): _of_checkout_calls,
    ("payment", "server"): _of_payment,
}
