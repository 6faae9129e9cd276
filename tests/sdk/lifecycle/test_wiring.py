"""How the manager joins its parts: settings that change while they run, other loggers, restarts."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.sdk.lifecycle.processes import ran
from tests.sdk.lifecycle.running import QUIET, started
from tests.sdk.receiver import Receiver, attributes

import gnomon
from gnomon.budget.throttle import STEPS
from gnomon.components import ComponentRegistry
from gnomon.config.units import Overhead
from gnomon.integrations.asgi import Exchange
from gnomon.logging.bridges import servers
from gnomon.manager import ObservabilityManager


def changed(manager: ObservabilityManager, part: str, **settings: Any) -> None:
    """As the watcher of a file does it."""
    made = getattr(manager.config, part).model_copy(update=settings)
    manager._apply(manager.config.model_copy(update={part: made}))


def masked(manager: ObservabilityManager) -> dict[str, float]:
    """The counter of what was masked, by kind."""
    families = {family.name: family for family in manager.recorders.registry.collect()}
    return {dict(point.labels)["kind"]: point.value for point in families["gnomon.sdk.masked"].points}


async def requested(manager: ObservabilityManager, app: Any = None) -> Any:
    """One request through a middleware, which is given back."""
    from gnomon.integrations.asgi import Middleware  # noqa: PLC0415 - methods are metered before it holds them

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nobody(_: Any) -> None:
        """The client hangs up."""

    made = app or Middleware(answer, manager.telemetry, lambda _: "/")
    headers = [(b"host", b"ann.example")]
    await made({"type": "http", "method": "GET", "path": "/", "headers": headers, "scheme": "http"}, None, nobody)
    return made


async def test_another_mask_reaches_every_part(receiver: Receiver) -> None:
    """Spans, what is remembered of requests, label values, exceptions and their variables; the counter goes on."""
    manager = started(receiver)
    orders = gnomon.Counter("wired.orders", labels=("flavour",))
    orders.inc(flavour="vanilla")
    app = await requested(manager)
    gnomon.get_logger("wired").info("for a@example.com")
    gnomon.flush()
    receiver.received.clear()
    before = masked(manager)
    assert before["email"] >= 1
    changed(manager, "privacy", secret_keys=("flavour", "server.address"))
    await requested(manager, app)
    flavour = "vanilla"
    try:
        int(f"no number of {len(flavour)}")
    except ValueError as error:
        with gnomon.span("s") as span:
            span.record_exception(error)
    assert masked(manager)["email"] >= before["email"]
    gnomon.flush()
    told = {span.name: span for span in receiver.spans}
    assert attributes(told["GET /"])["server.address"] == "<secret>"
    [event] = told["s"].events
    assert "vanilla" not in attributes(event)["gnomon.issue.frames"].replace('flavour = "vanilla"', "")
    values = {attributes(point)["flavour"] for metric in receiver.metrics if metric.name == "wired.orders"
              for point in metric.sum.data_points}  # fmt: skip
    assert values == {"<secret>"}


def test_an_edit_that_cannot_be_applied_changes_nothing() -> None:
    """A kind of data that there is not is refused by the mask; what stands beside it is not put in effect."""
    manager = started()
    before, sampler = manager.config, manager.recorders.tracers.sampler
    with pytest.raises(gnomon.ObservabilityError):
        changed(manager, "privacy", policies={"shoe_size": "mask"})
    assert manager.config is before
    assert manager.recorders.tracers.sampler is sampler


async def test_a_budget_that_comes_and_goes() -> None:
    """Set in the file of a running service it is kept from then on; taken out again, nothing is thinned."""
    manager, finish = started(), Exchange.finish
    changed(manager, "budget", max_overhead=Overhead(request_s=1e-9))
    budget = manager._budget
    assert budget is not None
    assert "budget" in gnomon.status().parts
    await requested(manager)
    assert budget.meter.cost("request").calls == 1
    budget._to(3)
    assert manager.recorders.tracers.thin is not None
    changed(manager, "budget", max_overhead=None)
    assert budget.step is STEPS[0]
    assert manager.recorders.tracers.thin is None
    gnomon.shutdown()
    assert Exchange.finish is finish


@pytest.mark.parametrize(("limit", "unit"), [("2%", "1"), ("50us", "s")])
def test_another_kind_of_budget(limit: str, unit: str) -> None:
    """After a restart or an edit: what is spent is told in its own unit, by the budget that there is."""
    first = started(max_overhead="1%" if unit == "s" else "1us")
    gnomon.shutdown()
    second = started(max_overhead=limit)
    gauge = second.recorders.registry.get("gnomon.sdk.overhead")
    assert gauge.unit == unit
    assert second._budget is not None
    second._budget.spent = 0.5
    assert [point.value for point in gauge.points()] == [0.5]
    other = Overhead(cpu_ratio=0.1) if unit == "s" else Overhead(request_s=1e-5)
    changed(second, "budget", max_overhead=other)
    assert second.recorders.registry.get("gnomon.sdk.overhead").unit == {"1": "s", "s": "1"}[unit]
    assert first._budget is not second._budget


def test_a_start_that_fails_meters_nothing() -> None:
    """The methods are as they were."""
    finish = Exchange.finish
    components = ComponentRegistry()

    class Broken:
        """Does not start."""

        def start(self) -> None:
            raise OSError("no")

        def shutdown(self, deadline_s: float) -> None:
            """Nothing."""

        def health(self) -> Any:
            """Nothing."""

    components.register("broken", Broken())
    with pytest.raises(gnomon.ObservabilityError):
        gnomon.instrument(**QUIET, **{"export.protocol": "none", "traces.sampler": "always_on"}, max_overhead="1%",
                          components=components)  # fmt: skip
    assert Exchange.finish is finish


@pytest.fixture
def uvicorns() -> Iterator[logging.Logger]:
    """A server's logger with a handler of its own."""
    logger = logging.getLogger("uvicorn.access")
    before = (logger.handlers, logger.propagate, logger.disabled)
    logger.handlers, logger.propagate, logger.disabled = [logging.NullHandler()], False, False
    yield logger
    logger.handlers, logger.propagate, logger.disabled = before


def test_a_server_keeps_its_log_where_ours_is_off(uvicorns: logging.Logger) -> None:
    """Nobody else would write it."""
    manager = started(**{"logs.enabled": False})
    manager._opened()
    assert uvicorns.handlers
    assert not uvicorns.disabled


def test_an_application_that_starts_often(uvicorns: logging.Logger) -> None:
    """Its server's loggers are led to us once, and are as they were afterwards."""
    handlers = list(uvicorns.handlers)
    manager = started()
    for _ in range(5):
        manager._opened()
    assert uvicorns.disabled
    assert len(manager._undo) < 10
    assert servers.install(access_log=True, shown=False) is servers.nothing
    gnomon.shutdown()
    assert (uvicorns.handlers, uvicorns.disabled) == (handlers, False)


def test_what_cannot_be_undone_keeps_nothing_else_from_it(caplog: pytest.LogCaptureFixture) -> None:
    """The host may have changed what we changed."""
    manager = started()
    handlers = list(logging.getLogger().handlers)

    def fails() -> None:
        raise ValueError("not there")

    manager._undo.append(fails)
    assert gnomon.shutdown() == {}
    assert logging.getLogger().handlers != handlers


def test_a_library_that_comes_later_is_left_as_it_was() -> None:
    """Its bridge is undone at the end like those of libraries that were there; a second start makes no second one."""
    done = ran("""
        import gnomon
        settings = {"export.protocol": "none", "logs.console": "off", "service_name": "late"}
        gnomon.instrument(**settings)
        import structlog
        from loguru import logger
        names = lambda: [type(one).__name__ for one in structlog.get_config()["processors"]]
        assert names().count("Processor") == 1
        for _ in range(2):
            gnomon.shutdown()
            assert "Processor" not in names()
            gnomon.instrument(**settings)
            assert names().count("Processor") == 1
    """)
    assert done.returncode == 0, done.stderr


def test_a_budget_knows_grpcs_calls() -> None:
    """Those that are served are requests; those that are made are not, but cost. Afterwards all is as it was."""
    done = ran("""
        import gnomon
        manager = gnomon.instrument(service_name="g", max_overhead="50us", **{"export.protocol": "none"})
        from concurrent import futures
        import grpc

        class Echo(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

        server = grpc.server(futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((Echo(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/shop.Orders/Place")
            for _ in range(3):
                assert call(b"x") == b"x"
        server.stop(None).wait()
        costs = manager._budget.meter.costs
        assert (costs["request"].calls, costs["call"].calls, costs["begin"].calls) == (3, 3, 6), costs
        gnomon.shutdown()
        from gnomon.integrations.grpc.calls import Call, ServedCall
        assert "_write" not in vars(ServedCall)
        assert not hasattr(Call._write, "__wrapped__")
    """)
    assert done.returncode == 0, done.stderr


async def test_the_path_of_scrapes_below_a_prefix(receiver: Receiver) -> None:
    """Some servers leave the prefix that they are mounted at in the path; a path that only ends like it is not it."""
    from gnomon.integrations.asgi import Middleware  # noqa: PLC0415 - as above

    manager, asked, sent = started(receiver), list[str](), list[Any]()

    async def answer(scope: Any, _receive: Any, _send: Any) -> None:
        asked.append(scope["path"])

    async def send(message: Any) -> None:
        sent.append(message)

    app = Middleware(answer, manager.telemetry, lambda _: "/")
    for path, root in (("/metrics", ""), ("/metrics", "/api"), ("/api/metrics", "/api"), ("/my/metrics", "")):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": [], "scheme": "http"}
        await app(scope, None, send)
    assert asked == ["/my/metrics"]
    assert [message["status"] for message in sent if "status" in message] == [200, 200, 200]


def test_hosts_that_no_host_has_are_not_remembered() -> None:
    """A client can invent them without end; each is written down, and forgotten."""
    from gnomon.integrations.http_server import Served  # noqa: PLC0415 - as above

    served = Served(started().telemetry)
    for number in range(10):
        known = served.known(("GET", "/", 200, "http", f"{number}" * 400, "1.1", ""))
        assert known.block[1]["server.address"] == f"{number}" * 400
    assert len(served._known) == 0
    served.known(("GET", "/", 200, "http", "shop", "1.1", ""))
    assert len(served._known) == 1
