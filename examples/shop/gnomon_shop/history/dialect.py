"""How the shop's services say what happened, in the words of their instrumentation: spans.

Names, attributes and scopes are those that the stock instrumentation and `parts/` of the live shop send.
"""

from collections.abc import Callable

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gnomon_shop.history.calls import Node
from gnomon_shop.history.wire import Attributes, Marks, Number, Template, Value, put
from gnomon_shop.services import QUEUE

PORTS = {
    "gateway": 8080, "catalogue": 8081, "cart": 8082, "recommendation": 8083, "payment": 8084,
    "notification": 8085, "checkout": 8086, "outside": 8090,
}  # fmt: skip
VISITOR: Attributes = {"user.id": "$user", "session.id": "$session"}
ORDER: Attributes = {"shop.order.id": "o-$order", "shop.order.cents": Number("due")}

INSTRUMENTATION = "0.66b2"
HTTPX = "python-httpx/0.28.1"
_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_CODES = {"OK": 0, "UNAVAILABLE": 14, "INTERNAL": 13}
RECORDS_FIELD = 2  # of ScopeSpans, and of ScopeLogs


def scope(node: Node) -> str:
    """Whose span it is."""
    match node.protocol, node.kind:
        case "http", "server":
            return f"opentelemetry.instrumentation.fastapi@{INSTRUMENTATION}"
        case "http", _:
            return f"opentelemetry.instrumentation.httpx@{INSTRUMENTATION}"
        case "grpc", _:
            return f"opentelemetry.instrumentation.grpc@{INSTRUMENTATION}"
        case "sql", _:
            return "shop.database"
        case "queue", _:
            return "shop.queue"
    return f"shop.{node.service}"


def span(node: Node, widths: dict[str, int], threshold: str, *, root: bool, visited: bool) -> Template:
    """Its span; columns are `trace`, `span`, `parent`, `start`, `end` and those in the attributes."""
    marks = Marks(widths)
    made = Span(
        trace_id=marks.raw("trace", 16),
        span_id=marks.raw("span", 8),
        name=_name(node),
        kind=_KINDS[node.kind],  # type: ignore[arg-type]
        start_time_unix_nano=marks.fixed64("start"),
        end_time_unix_nano=marks.fixed64("end"),
        flags=0x101 if root or node.kind != "server" else 0x301,  # sampled; whether the parent is remote is known
        trace_state=f"ot=th:{threshold}" if threshold else "",
    )
    if not root:
        made.parent_span_id = marks.raw("parent", 8)
    put(made.attributes, attributes(node, visited=visited), marks)
    if node.ill:
        made.status.code = Status.STATUS_CODE_ERROR
        made.status.message = node.error if node.protocol == "grpc" or node.code < 0 else ""
        if node.error and node.kind != "server":
            event = made.events.add()
            event.name, event.time_unix_nano = "exception", marks.fixed64("end")
            put(event.attributes, {"exception.type": node.status, "exception.message": node.error}, marks)
    return marks.template(made, RECORDS_FIELD)


def _name(node: Node) -> str:
    if node.protocol == "http" and node.kind == "client":
        return node.operation.partition(" ")[0]
    return f"/{node.operation}" if node.protocol == "grpc" else node.operation


def attributes(node: Node, *, visited: bool) -> Attributes:
    """What its span carries."""
    make = _BY_PROTOCOL.get((node.protocol, node.kind)) or _BY_PROTOCOL.get((node.protocol, ""))
    found = dict(make(node)) if make else {}
    if any(fact == "order" for fact, _ in node.facts):
        found |= {**ORDER, "shop.user.id": "$user"}
    elif node.operation.endswith("/Charge") and node.kind == "server":
        found |= ORDER
    elif node.kind == "consumer":
        found |= {"shop.order.id": "o-$order"}
    if visited and node.kind == "server":
        found |= VISITOR
    return {**found, **dict(node.extra)}


def path(node: Node) -> str:
    """What is asked for."""
    return node.path or node.operation.partition(" ")[2]


def _http_server(node: Node) -> dict[str, Value]:
    method, _, route = node.operation.partition(" ")
    found: dict[str, Value] = {
        "url.scheme": "http",
        "server.address": f"127.0.0.1:{PORTS[node.service]}",
        "server.port": PORTS[node.service],
        "network.protocol.version": "1.1",
        "url.path": path(node),
        "http.request.method": method,
    }
    if node.service == "gateway":  # behind a proxy that says whom it forwards
        found |= {"client.address": "$address", "user_agent.original": "$agent"}
    else:
        found |= {"client.address": "127.0.0.1", "client.port": Number("port"), "user_agent.original": HTTPX}
    found |= {"url.query": node.query} if node.query else {}
    found |= {"http.route": route} if route else {}
    found |= {"http.response.status_code": node.code}
    return found | ({"error.type": node.status} if node.ill else {})


def _http_client(node: Node) -> dict[str, Value]:
    port = PORTS[node.peer]
    found: dict[str, Value] = {
        "http.request.method": node.operation.partition(" ")[0],
        "url.full": f"http://127.0.0.1:{port}{path(node)}" + (f"?{node.query}" if node.query else ""),
        "server.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "server.port": port,
        "network.peer.port": port,
        "peer.service": node.peer,
    }
    if node.code > 0:
        found |= {"http.response.status_code": node.code, "network.protocol.version": "1.1"}
    return found | ({"error.type": node.status} if node.ill else {})


def _grpc(node: Node) -> dict[str, Value]:
    service, _, method = node.operation.partition("/")
    found: dict[str, Value] = {
        "rpc.system": "grpc", "rpc.grpc.status_code": _CODES[node.status], "rpc.method": method, "rpc.service": service,
    }  # fmt: skip
    return found | (_GRPC_PEER if node.kind == "server" else {"peer.service": node.peer})


_GRPC_PEER: dict[str, Value] = {
    "rpc.user_agent": "grpc-python-asyncio/1.85.1 grpc-c/58.0.0 (linux; chttp2)",
    "net.peer.ip": "127.0.0.1",
    "net.peer.port": "$peer_port",
    "net.peer.name": "localhost",
}


def sql_attributes(node: Node) -> dict[str, Value]:
    """What spans and durations of a statement have alike."""
    verb, _, table = node.operation.partition(" ")
    found: dict[str, Value] = {"db.system.name": "sqlite", "db.operation.name": verb}
    return found | ({"db.collection.name": table} if table else {})


def _queue(node: Node) -> dict[str, Value]:
    operation = node.operation.partition(" ")[0]
    found: dict[str, Value] = {
        "messaging.system": "shop", "messaging.destination.name": QUEUE, "messaging.operation.type": operation,
        "messaging.message.id": "$message",
    }  # fmt: skip
    return found | ({"shop.message.attempt": 1} if node.kind == "consumer" else {})


def _sql_span(node: Node) -> dict[str, Value]:
    return {**sql_attributes(node), "db.namespace": f"{node.service}.db"}


_BY_PROTOCOL: dict[tuple[str, str], Callable[[Node], dict[str, Value]]] = {
    ("http", "server"): _http_server,
    ("http", ""): _http_client,
    ("grpc", ""): _grpc,
    ("sql", ""): _sql_span,
    ("queue", ""): _queue,
}
