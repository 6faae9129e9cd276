"""Waiting for libraries: told when they are imported, never importing them, never in their way."""

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gnomon.integrations import importing, table
from gnomon.integrations.table import Integrations
from gnomon.testing import Capture, capture


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A library that nobody has imported."""
    (tmp_path / "their_library").mkdir()
    (tmp_path / "their_library" / "__init__.py").write_text('"""Theirs."""\nVALUE = 7\n')
    (tmp_path / "their_library" / "part.py").write_text("import their_library\n")
    (tmp_path / "their_broken.py").write_text("raise RuntimeError('theirs')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "their_library"
    importing.forget()
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]


def test_told_once_it_is_there(library: str) -> None:
    """After the module has run; the module does not see us; a part's import tells again only who waits for it."""
    told: list[Any] = []
    importing.when_imported(library, lambda: told.append(sys.modules[library].VALUE))
    importing.when_imported(library, lambda: told.append("second"))
    assert importlib.util.find_spec(library) is not None
    assert told == []
    module = importlib.import_module(library)
    assert told == [7, "second"]
    importlib.import_module(f"{library}.part")
    assert told == [7, "second"]
    assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
    assert "VALUE = 7" in inspect.getsource(module)
    importing.when_imported(library, lambda: told.append("late"))
    assert told[-1] == "late"


def test_a_callback_that_fails(library: str, caplog: pytest.LogCaptureFixture) -> None:
    """The import goes on, and the log says why we have no part in it."""
    importing.when_imported(library, lambda: 1 / 0)
    with caplog.at_level(logging.WARNING, "gnomon"):
        assert importlib.import_module(library).VALUE == 7
    assert f"{library} could not be instrumented" in caplog.text


def test_an_import_that_fails(library: str) -> None:
    """Their error is theirs; what is not there is not found."""
    importing.when_imported("their_broken", pytest.fail)
    importing.when_imported("their_nothing", pytest.fail)
    with pytest.raises(RuntimeError, match="theirs"):
        importlib.import_module("their_broken")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("their_nothing")
    assert importlib.util.find_spec("their_nothing") is None


def test_forgetting(library: str) -> None:
    """Nobody is told any more, and nothing of ours stands among the finders."""
    importing.when_imported(library, pytest.fail)
    importing.forget()
    importing.forget()
    importlib.import_module(library)
    assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("gnomon")]


def test_namespace_packages(tmp_path: Path, library: str) -> None:
    """A package without a file has no loader that runs."""
    (tmp_path / "their_space" / "inner").mkdir(parents=True)
    importing.when_imported("their_space", lambda: None)
    assert importlib.import_module("their_space").__path__


@pytest.fixture
def captured() -> Iterator[Capture]:
    """The SDK, with no integration of its own."""
    with capture(**{"integrations": {"*": False}, "metrics.process": False}) as found:
        yield found


class Stock:
    """An instrumentation in the shape of OpenTelemetry's."""

    done: list[str] = []  # noqa: RUF012 - seen from outside
    is_instrumented_by_opentelemetry = False

    def instrument(self) -> None:
        self.done.append("instrument")

    def uninstrument(self) -> None:
        self.done.append("uninstrument")


def test_stock_instrumentations(captured: Capture, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Used where they are installed, unless they are used already; undone in the end."""
    theirs: Any = ModuleType("their_instrumentation")
    theirs.Instrumentor, Stock.done = Stock, []
    theirs.__spec__ = importlib.util.spec_from_loader("their_instrumentation", None)
    monkeypatch.setitem(sys.modules, "their_instrumentation", theirs)
    found = {"theirs": (library, "their_instrumentation:Instrumentor"), "gone": ("json", "not_there.at_all:X")}
    monkeypatch.setattr(table, "STOCK", found)
    monkeypatch.setattr(table, "OURS", {})
    integrations = Integrations(captured.manager.telemetry, {})
    integrations.install()
    assert integrations.installed == ()
    importlib.import_module(library)
    assert integrations.installed == ("theirs",)
    integrations.uninstall()
    assert Stock.done == ["instrument", "uninstrument"]
    monkeypatch.setattr(Stock, "is_instrumented_by_opentelemetry", True)
    integrations.install()
    assert integrations.installed == ()


@pytest.mark.parametrize(
    ("switches", "on", "off"),
    [
        ({}, {"httpx", "redis", "celery"}, {"urllib3", "psycopg", "asyncpg"}),
        ({"redis": False}, {"httpx"}, {"redis"}),
        ({"*": False, "redis": True}, {"redis"}, {"httpx", "celery", "urllib3"}),
        ({"urllib3": True}, {"urllib3", "httpx"}, {"psycopg"}),
    ],
)
def test_switches(captured: Capture, switches: dict[str, bool], on: set[str], off: set[str]) -> None:
    """By name, and `*` for the rest; what doubles others is on when it is asked for."""
    wanted = Integrations(captured.manager.telemetry, switches).wanted
    assert all(wanted(name) for name in on)
    assert not any(wanted(name) for name in off)


def test_every_row_of_the_table() -> None:
    """Ours exist, and have an `install`; no name stands twice."""
    for library, module in table.OURS.values():
        assert library
        assert callable(importlib.import_module(module).install)
    assert not table.OURS.keys() & table.STOCK.keys()
    assert table.STOCK.keys() >= table.ASKED_FOR


def test_frameworks_are_left_as_they_were() -> None:
    """Switched on and off again: Starlette builds its applications as before."""
    import httpx  # noqa: PLC0415 - here alone
    from starlette.applications import Starlette  # noqa: PLC0415 - likewise

    before = Starlette.build_middleware_stack, Starlette.__init__, httpx.Client.__init__
    with capture() as found:
        assert "starlette" in found.manager.status().parts or Starlette.build_middleware_stack is not before[0]
    assert (Starlette.build_middleware_stack, Starlette.__init__, httpx.Client.__init__) == before


def test_bridges_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Structlog and loguru are led to us when they are imported, if they are to be, and back in the end."""
    import loguru  # noqa: PLC0415 - here alone
    import structlog  # noqa: PLC0415 - likewise

    with capture() as found:
        loguru.logger.info("from loguru")
        structlog.get_logger().info("from structlog")
        assert {"from loguru", "from structlog"} <= {line["message"] for line in found.logs}
    off = {"logs.capture_structlog": False, "logs.capture_loguru": False, "logs.capture_stdlib": False}
    with capture(**off) as found:
        logging.getLogger("x").warning("from logging")
        structlog.get_logger().info("from structlog")
        assert found.logs == []
