"""The meters of the shop: which histogram an operation's duration goes to, and every other instrument by name.

Durations in seconds have the buckets that the HTTP conventions recommend.
"""

from gnomon_shop.history.calls import Node
from gnomon_shop.history.dialect import INSTRUMENTATION, PORTS, sql_attributes
from gnomon_shop.history.metrics import Instrument, Labels
from gnomon_shop.services import QUEUE

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
DEFAULT = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)


def _seconds(name: str, text: str, scope: str) -> Instrument:
    return Instrument(name, "histogram", "s", text, scope, bounds=SECONDS)


_HTTP_SERVER = _seconds(
    "http.server.request.duration", "Duration of HTTP server requests.",
    f"opentelemetry.instrumentation.fastapi@{INSTRUMENTATION}",
)  # fmt: skip
_HTTP_CLIENT = _seconds(
    "http.client.request.duration", "Duration of HTTP client requests.",
    f"opentelemetry.instrumentation.httpx@{INSTRUMENTATION}",
)  # fmt: skip
_RPC_SERVER = _seconds("rpc.server.duration", "Time taken by a call, as its server saw it", "shop.rpc")
_RPC_CLIENT = _seconds("rpc.client.duration", "Time taken by a call, as its client saw it", "shop.rpc")
_SQL = _seconds("db.client.operation.duration", "Time taken by a statement", "shop.database")
_PROCESSED = _seconds("messaging.process.duration", "Time taken to process a message", "shop.queue")
WAITED = _seconds("db.client.connection.wait_time", "Time until a connection came free", "shop.database")
# The sizes of bodies are said by as many series as durations, and less looked at: every five minutes.
SIZES = tuple(
    Instrument(
        f"http.server.{of}.body.size", "histogram", "By", f"Size of HTTP server {of} bodies.",
        f"opentelemetry.instrumentation.fastapi@{INSTRUMENTATION}", bounds=DEFAULT, every=5,
    )
    for of in ("request", "response")
)  # fmt: skip
ACTIVE = Instrument(
    "http.server.active_requests", "updown", "{request}", "Number of active HTTP server requests.",
    f"opentelemetry.instrumentation.fastapi@{INSTRUMENTATION}", whole=True,
)  # fmt: skip
QUEUED: Labels = (("messaging.system", "shop"), ("messaging.destination.name", QUEUE))


def measured(node: Node) -> tuple[Instrument, Labels] | None:
    """The histogram that the node's duration in seconds goes to, and its labels."""
    method, _, route = node.operation.partition(" ")
    answered: Labels = (("http.response.status_code", node.code), ("network.protocol.version", "1.1"))
    failed: Labels = (("error.type", node.status),) if node.ill else ()
    match node.protocol, node.kind:
        case "http", "server":
            known: Labels = (("http.route", route),) if route else ()
            return _HTTP_SERVER, (("url.scheme", "http"), ("http.request.method", method), *known, *answered, *failed)
        case "http", _:
            where: Labels = (("server.address", "127.0.0.1"), ("server.port", PORTS[node.peer]))
            return _HTTP_CLIENT, (
                ("http.request.method", method),
                *where,
                *(answered if node.code > 0 else ()),
                *failed,
            )
        case "grpc", kind:
            service, _, name = node.operation.partition("/")
            said: Labels = (("rpc.service", service), ("rpc.method", name), ("rpc.grpc.status_code", node.status))
            return _RPC_SERVER if kind == "server" else _RPC_CLIENT, (("rpc.system", "grpc"), *said)
        case "sql", _:
            return _SQL, tuple(sql_attributes(node).items())
        case "queue", "consumer":
            return _PROCESSED, (*QUEUED, ("outcome", "done"))
    return None


_GIVEN_BYTES = {
    "GET /": 1350, "GET /products": 1035, "GET /api/products": 1035, "GET /products/{id}": 144,
    "GET /api/products/{id}": 144, "GET /api/recommendations": 222, "GET /carts/{user}": 200, "GET /api/cart": 200,
    "POST /carts/{user}/items": 188, "POST /api/cart": 188,
}  # fmt: skip
_TAKEN_BYTES = {"POST /carts/{user}/items": 67, "POST /api/cart": 35, "POST /vitals": 313, "POST /returns": 26}


def sizes(node: Node) -> tuple[int | None, int]:
    """Medians of the bodies that a server takes and gives; what is got takes none."""
    taken = _TAKEN_BYTES.get(node.operation, 2) if node.operation.startswith("POST") else None
    return taken, _GIVEN_BYTES.get(node.operation, 40)


def _counter(name: str, unit: str, text: str, scope: str, kind: str = "counter") -> Instrument:
    return Instrument(name, kind, unit, text, scope, whole=True)


def _amount(name: str, unit: str, text: str, scope: str) -> Instrument:
    return Instrument(name, "exponential", unit, text, scope)


COUNTED = {
    instrument.name: instrument
    for instrument in (
        _counter("shop.cache.lookups", "{lookup}", "Looked up, by result", "shop.cache"),
        _counter("shop.cart.items", "{item}", "Items put into carts", "shop.cart"),
        _counter("shop.recommendations", "{product}", "Products recommended, by method", "shop.recommendation"),
        _counter("shop.payments", "{payment}", "Charges, by outcome", "shop.payment"),
        _counter("shop.payments.settled", "{cent}", "Settled with the bank", "shop.payment"),
        _counter("shop.funnel", "{step}", "What visitors did, by step", "shop.business"),
        _counter("shop.orders", "{order}", "Orders placed", "shop.checkout"),
        _counter("shop.revenue", "{cent}", "What they brought", "shop.checkout"),
        _counter("shop.returns", "{cent}", "Given back", "shop.checkout"),
        _counter("shop.checkout.refused", "{checkout}", "Checkouts without an order, by reason", "shop.checkout"),
        _counter("shop.mails", "{mail}", "Mails sent", "shop.notification"),
        _counter("messaging.client.sent.messages", "{message}", "Messages sent", "shop.queue"),
        _counter("messaging.client.consumed.messages", "{message}", "Messages consumed, by outcome", "shop.queue"),
        Instrument(
            "shop.catalogue.results", "histogram", "{product}", "Products on a page of a list", "shop.catalogue",
            bounds=DEFAULT,
        ),
        _amount("shop.order.amount", "{cent}", "The sum of an order", "shop.checkout"),
        _amount("shop.payment.amount", "{cent}", "Sums charged", "shop.payment"),
        _counter("shop.queue.depth", "{message}", "Messages not yet done with", "shop.queue", "gauge"),
        *(
            _counter(f"db.client.connection.{name}", unit, text, "shop.database", "updown")
            for name, unit, text in (
                ("count", "{connection}", "Connections of the pool, by state"),
                ("pending_requests", "{request}", "Waiting for a connection"),
                ("max", "{connection}", "The size of the pool"),
            )
        ),
        _counter("process.memory.usage", "By", "Physical memory in use", "shop.process", "updown"),
        _counter("process.thread.count", "{thread}", "Threads", "shop.process", "updown"),
        Instrument("process.cpu.time", "counter", "s", "CPU time by mode", "shop.process"),
        Instrument("process.cpu.utilization", "gauge", "1", "Cores in use since the last reading", "shop.process"),
        Instrument("shop.certificate.days_left", "gauge", "d", "Until the bank's certificate ends", "shop.payment"),
    )
}  # fmt: skip
