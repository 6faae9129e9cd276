"""The shop as trees of calls: for each thing a visitor does what `services/` make of it, variant by variant.

Medians of a node's own time are those of a live run on a quiet machine.
"""

from dataclasses import dataclass
from functools import cache

from gnomon_shop.history.calls import Node, Tree
from gnomon_shop.history.wire import Number, Value
from gnomon_shop.load.scan import INJECTIONS, LOGINS, PATHS
from gnomon_shop.services import QUEUE

LISTED, SIMILAR = 12, 3  # rows of a list, products recommended
BANK_ATTEMPTS = 3
MOST_LINES, MOST_HASTY, MOST_SETTLED = 4, 8, 6

Facts = tuple[tuple[str, int], ...]
Counts = tuple[tuple[str, tuple[tuple[str, Value], ...], int], ...]

HIT: Counts = (("shop.cache.lookups", (("result", "hit"),), 1),)
MISS: Counts = (("shop.cache.lookups", (("result", "miss"),), 2),)  # looked up again behind the lock


@dataclass(frozen=True)
class Variant:
    """What may differ between two requests for the same thing."""

    missed: bool = False  # not in catalogue's cache
    one_by_one: bool = False  # N+1
    dear: int = 0  # statements more of a stampede
    hasty: int = 0  # calls given up too early by the gateway
    lines: int = 1  # in the cart
    declined: bool = False
    bank: int = 0  # attempts that the bank did not answer well
    expired: bool = False  # because of its certificate
    settled: int = 0  # orders passed on to the bank
    probe: int = 0


@cache
def tree(action: str, variant: Variant) -> Tree:
    """What the action sets going."""
    return Tree(_ACTIONS[action](variant))


def handed_up(node: Node, below: Node) -> str:
    """The status that a node ends with when the one below it has failed; see the services for why."""
    if node.kind in ("client", "producer"):
        return below.status
    answered = below.protocol == "http" and below.code > 0
    status = {
        "gateway": ("502" if below.status == "500" else below.status) if answered else "503",
        "checkout": "502" if answered else "503",
        "recommendation": "INTERNAL" if answered else "UNAVAILABLE",
    }
    return status.get(node.service, "UNAVAILABLE")


def _served(service: str, operation: str, own_ms: float, *children: Node, **more: object) -> Node:
    return Node(service, "server", "http", operation, own_ms, children, **more)  # type: ignore[arg-type]


def _called(caller: str, server: Node, own_ms: float = 1.4, **more: object) -> Node:
    """The client's side of a call, around the server's."""
    status = str(more.pop("status", server.status))
    return Node(
        caller, "client", server.protocol, server.operation, own_ms, (server,), server.service,
        path=server.path, query=server.query, status=status, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def _rpc(service: str, method: str, own_ms: float, *children: Node, **more: object) -> Node:
    return Node(service, "server", "grpc", method, own_ms, children, status="OK", **more)  # type: ignore[arg-type]


def _sql(service: str, name: str, own_ms: float, text: str) -> Node:
    return Node(service, "client", "sql", name, own_ms, peer="database", status="OK", extra=(("db.query.text", text),))


def _outside(service: str, operation: str, own_ms: float, **more: object) -> Node:
    return Node(service, "client", "http", operation, own_ms, peer="outside", **more)  # type: ignore[arg-type]


_IN_CART = (("shop.cart.cents", Number("cart")),)
_SELECT = "SELECT id, name, category, cents FROM products"
_PRODUCT = _sql("catalogue", "SELECT products", 0.7, f"{_SELECT} WHERE id = :id")
_RELATED = _sql("catalogue", "SELECT products", 1.1, "SELECT id FROM products WHERE category = (SELECT category ...)")
_CATEGORIES = _sql(
    "catalogue", "SELECT products", 0.9, "SELECT category, count(*) AS products FROM products GROUP BY 1"
)
_LIST = _sql("catalogue", "SELECT products", 1.0, f"{_SELECT} WHERE lower(name) LIKE :like ORDER BY id LIMIT :limit")


def _product(variant: Variant) -> Node:
    statements = [*[_CATEGORIES] * variant.dear, _PRODUCT, _RELATED] if variant.missed else []
    counts = MISS if variant.missed else HIT
    return _served("catalogue", "GET /products/{id}", 1.6, *statements, path="/products/$product", counts=counts)


def _page(variant: Variant, found: int, searched: bool) -> Node:
    listed = [_LIST, *[_PRODUCT] * found] if variant.one_by_one else [_LIST]
    categories = [_CATEGORIES] * (1 + variant.dear) if variant.missed else []
    counts = (*(MISS if variant.missed else HIT), ("shop.catalogue.results", (("search", searched),), found))
    words = "$word" if searched else ""
    return _served(
        "catalogue", "GET /products", 2.2, *listed, *categories, query=f"q={words}&page=1", counts=counts,
        extra=(("shop.search", words), ("shop.results", found)),
    )  # fmt: skip


def _hastily(server: Node, variant: Variant) -> list[Node]:
    """Calls that were given up while they were still worked on, then one with patience."""
    worked_on = Node(**{**vars(server), "begins": "beside"})
    given_up = Node(
        "gateway", "client", "http", server.operation, 12.0, (worked_on,), server.service,
        path=server.path, query=server.query, status="ReadTimeout", error="ReadTimeout",
    )  # fmt: skip
    return [given_up] * variant.hasty + [_called("gateway", server)]


def _home(_: Variant) -> Node:
    return _served("gateway", "GET /", 2.4, facts=(("visit", 0),))


def _list(variant: Variant) -> Node:
    calls = _hastily(_page(variant, LISTED, searched=False), variant)
    return _served("gateway", "GET /api/products", 1.9, *calls, query="page=1")


def _search(variant: Variant) -> Node:
    calls = _hastily(_page(variant, LISTED, searched=True), variant)
    return _served("gateway", "GET /api/products", 1.9, *calls, query="q=$word", facts=(("search", len(calls)),))


def _view(variant: Variant) -> Node:
    calls = _hastily(_product(variant), variant)
    return _served(
        "gateway", "GET /api/products/{id}", 1.8, *calls, path="/api/products/$product", facts=(("view", len(calls)),)
    )


def _similar(variant: Variant) -> Node:
    rank = Node("recommendation", "internal", "own", "rank", 0.2, status="OK", extra=(("shop.candidates", 8),))
    first, *others = [_called("recommendation", _product(variant)) for _ in range(1 + SIMILAR)]
    counts = (("shop.recommendations", (("method", "Similar"),), SIMILAR),)
    similar = _rpc("recommendation", "shop.Recommendation/Similar", 1.6, first, rank, *others, counts=counts)
    return _served(
        "gateway", "GET /api/recommendations", 1.7, _called("gateway", similar, 1.1), query="product=$product"
    )


def _add(variant: Variant) -> Node:
    into = _served(
        "cart", "POST /carts/{user}/items", 1.5, path="/carts/$user/items",
        counts=(*HIT, ("shop.cart.items", (), 1)), extra=_IN_CART,
    )  # fmt: skip
    calls = [*_hastily(_product(variant), variant), _called("gateway", into)]
    return _served("gateway", "POST /api/cart", 2.0, *calls, facts=(("cart", len(calls)),))


def _in_cart(caller: str) -> Node:
    return _called(caller, _served("cart", "GET /carts/{user}", 1.2, path="/carts/$user", counts=HIT, extra=_IN_CART))


def _cart(_: Variant) -> Node:
    return _served("gateway", "GET /api/cart", 1.6, _in_cart("gateway"))


def _bank(operation: str, variant: Variant, status: str = "200") -> tuple[Node, ...]:
    """As many attempts as it takes."""
    broken = ("ConnectError", "certificate verify failed: certificate has expired (bank)")
    ill, why = broken if variant.expired else ("503", "")
    refused = _outside("payment", operation, 4.0 if variant.expired else 21.0, status=ill, error=why)
    good = () if variant.bank >= BANK_ATTEMPTS else (_outside("payment", operation, 21.0, status=status),)
    return (*[refused] * variant.bank, *good)


def _paid(caller: str, method: str, path: str, variant: Variant, counts: Counts = (), status: str = "200") -> Node:
    lost = variant.bank >= BANK_ATTEMPTS
    served = _rpc(
        "payment", f"shop.Payment/{method}", 1.3, *_bank(f"POST {path}", variant, status), counts=() if lost else counts
    )
    if lost:
        served = Node(**{**vars(served), "status": "UNAVAILABLE", "error": "bank: ConnectError"})
    return _called(caller, served, 1.2)


def _checkout(variant: Variant) -> Node:
    outcome = "declined" if variant.declined else "captured"
    charged = _paid(
        "checkout", "Charge", "/charges", variant,
        (("shop.payments", (("outcome", outcome),), 1),), "402" if variant.declined else "200",
    )  # fmt: skip
    before: tuple[Node, ...] = (_in_cart("checkout"), charged)
    if charged.ill:
        return _till("POST /checkout", before, "503", (("checkout", 1),))
    if variant.declined:
        return _till("POST /checkout", before, "402", (("checkout", 1), ("declined", 2)))
    mail = Node(
        "notification", "consumer", "queue", f"process {QUEUE}", 1.4, (_outside("notification", "POST /mails", 21.0),),
        status="OK", begins="later", facts=(("mail", 1),),
    )  # fmt: skip
    children = (
        *before,
        _sql(
            "checkout", "INSERT orders", 0.8, "INSERT INTO orders VALUES (:id, :customer, :cents, 'placed', :placed_ns)"
        ),
        *[_sql("checkout", "INSERT order_items", 0.4, "INSERT INTO order_items VALUES (:order_id, :product, ...)")]
        * variant.lines,
        _sql("checkout", "COMMIT", 1.1, "COMMIT"),
        Node("checkout", "producer", "queue", f"send {QUEUE}", 0.9, (mail,), "notification", status="OK"),
        _called("checkout", _served("cart", "DELETE /carts/{user}", 1.0, path="/carts/$user", status="204")),
    )
    return _till("POST /checkout", children, "200", (("checkout", 1), ("order", len(children) - 2)))


def _till(operation: str, children: tuple[Node, ...], status: str, facts: Facts) -> Node:
    gateway = operation.replace("/", "/api/", 1)
    own = _served("checkout", operation, 2.6, *children, status=status, facts=facts)
    return _served("gateway", gateway, 1.9, _called("gateway", own), status=status)


def _return(variant: Variant) -> Node:
    watched = _paid("checkout", "Watch", "/refunds", variant)
    found = _sql("checkout", "SELECT orders", 0.6, "SELECT id, customer, cents, state FROM orders WHERE id = :id")
    if watched.ill:
        return _till("POST /returns", (found, watched), "503", ())
    update = _sql("checkout", "UPDATE orders", 0.6, "UPDATE orders SET state = :state WHERE id = :id")
    children = (found, watched, update, _sql("checkout", "COMMIT", 1.1, "COMMIT"))
    return _till("POST /returns", children, "200", (("return", len(children)),))


def _vitals(_: Variant) -> Node:
    return _served("gateway", "POST /vitals", 1.1, status="204")


def _settle(variant: Variant) -> Node:
    found = _sql("checkout", "SELECT orders", 0.8, "SELECT id, cents FROM orders WHERE state = 'placed' LIMIT 200")
    if not variant.settled:
        return Node("checkout", "internal", "own", "settle", 0.4, (found,), status="OK", extra=_settled(0))
    told = _paid("checkout", "Settle", "/settlements", Variant())
    update = _sql("checkout", "UPDATE orders", 0.5, "UPDATE orders SET state = :state WHERE id = :id")
    children = (found, told, *[update] * variant.settled, _sql("checkout", "COMMIT", 1.1, "COMMIT"))
    return Node("checkout", "internal", "own", "settle", 0.8, children, status="OK", extra=_settled(variant.settled))


def _settled(orders: int) -> tuple[tuple[str, int], ...]:
    return (("shop.settled.orders", orders),)


PROBES = (
    *(("GET", path, "404") for path in PATHS),
    *(("GET", words, "search") for words in INJECTIONS),
    *(("POST", path, "401" if path == "/api/login" else "404") for path in LOGINS),
)


def _probe(variant: Variant) -> Node:
    method, path, outcome = PROBES[variant.probe]
    if outcome == "search":
        page = _page(variant, 0, searched=True)
        return _served(
            "gateway", "GET /api/products", 1.9, _called("gateway", page), query="q=$word", facts=(("search", 1),)
        )
    operation = f"{method} {path}" if outcome == "401" else method
    return _served("gateway", operation, 0.7, path=path, status=outcome)


_ACTIONS = {
    "home": _home,
    "list": _list,
    "search": _search,
    "view": _view,
    "similar": _similar,
    "add": _add,
    "cart": _cart,
    "checkout": _checkout,
    "return": _return,
    "vitals": _vitals,
    "settle": _settle,
    "probe": _probe,
}
