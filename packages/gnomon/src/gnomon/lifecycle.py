"""The door: `instrument`, `flush`, `shutdown`, `status`; and what makes sure that a process's last words are sent."""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from gnomon.components import ComponentRegistry, Report
from gnomon.manager import ObservabilityManager
from gnomon.process.forks import after_fork

if TYPE_CHECKING:
    from gnomon.config.settings import ObservabilityConfig

log = logging.getLogger("gnomon")
# Settings that are asked for so often that they have a short name.
SHORT = {
    "service_name": "service.name",
    "service_version": "service.version",
    "environment": "service.environment",
    "endpoint": "export.endpoint",
    "headers": "export.headers",
    "max_overhead": "budget.max_overhead",
}


class _Door:
    """One start at a time.

    Attributes:
        idle: the manager that `disabled` has left idle: what begins later, such as `DistributedTracing`, does not
            start it.
    """

    def __init__(self) -> None:
        self.idle: ObservabilityManager | None = None
        self._open()
        after_fork(self._open)

    def _open(self) -> None:
        """Also in a forked child, whose parent may have been starting in another thread."""
        self.starting = threading.RLock()


_door = _Door()


def instrument(
    app: Any = None,
    *,
    config: "ObservabilityConfig | None" = None,
    file: str | Path | None = None,
    components: ComponentRegistry | None = None,
    **settings: Any,
) -> ObservabilityManager:
    """Start observing this process, and an application in it. This one call is the whole of it.

    Args:
        app: a FastAPI or Starlette application; None for a script, a worker, a gRPC service. Applications
            and servers that are made later are instrumented by themselves.
        config: all settings at once; then nothing else is read.
        file: settings in TOML, JSON or YAML, read again when it changes; else what `GNOMON_CONFIG` names.
        components: further parts, such as exporters of your own.
        settings: by dotted key (`**{"traces.sampler": "adaptive"}`), by part (`traces={"sampler": "adaptive"}`), or by
            short name: `service_name`, `service_version`, `environment`, `endpoint`, `headers`, `max_overhead`.

    Returns:
        The manager. Where the SDK runs already, that one: then `app` is instrumented, and settings that differ from
        those it runs with are left aside, which is warned of.

    Raises:
        ConfigurationError: a setting is wrong: every mistake, with its field and where it was set.
    """
    before = ObservabilityManager.running
    manager = ensure(config=config, file=file, components=components, **settings)
    if manager is before and (left := _left_aside(manager.config, settings)):
        log.warning("the SDK runs already, so %s is left aside: set it where it is started first", ", ".join(left))
    if app is not None and not manager.config.disabled:
        _instrument_app(app, manager)
    return manager


def ensure(
    *,
    config: "ObservabilityConfig | None" = None,
    file: str | Path | None = None,
    components: ComponentRegistry | None = None,
    **settings: Any,
) -> ObservabilityManager:
    """The running manager, or the one that is switched off; started with these settings if there is none."""
    with _door.starting:
        present = ObservabilityManager.running or _door.idle
        return present or _started(config, file, components, settings)


def _started(
    config: "ObservabilityConfig | None",
    file: str | Path | None,
    components: ComponentRegistry | None,
    settings: Mapping[str, Any],
) -> ObservabilityManager:
    from gnomon.config.sources import sources  # noqa: PLC0415 - pydantic is loaded when there is something to do

    found = None
    if config is None:
        found = sources(_in_full(settings), file=file)
        config = found.load()
    manager = ObservabilityManager(config, components=components, sources=found)
    if config.disabled:
        _door.idle = manager.switch_off()
    else:
        manager.initialize()
        _last_words.arrange()
    return manager


def _in_full(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {SHORT.get(key, key): value for key, value in settings.items()}


def _left_aside(config: "ObservabilityConfig", settings: Mapping[str, Any]) -> list[str]:
    """The keys of settings that the running SDK has other values of."""
    if not settings:
        return []
    from gnomon.config.settings import leaves  # noqa: PLC0415 - it runs, so they are loaded
    from gnomon.config.sources import load  # noqa: PLC0415 - likewise

    running = {key: value for key, value, _ in leaves(config)}
    wanted = load(_in_full(settings), environment={})
    return [key for key, value, _ in leaves(wanted) if key in wanted.origins and value != running[key]]


def flush(timeout_s: float = 5.0) -> bool:
    """Send what waits now; whether all of it left in time."""
    running = ObservabilityManager.running
    return running is None or running.flush(timeout_s)


def shutdown(timeout_s: float | None = None) -> dict[str, str]:
    """Send what waits and stop; parts that could not be stopped in time, and why."""
    running, _door.idle = ObservabilityManager.running, None
    return {} if running is None else running.shutdown(timeout_s)


def status() -> Report:
    """How every part is. Empty when the SDK does not run."""
    running = ObservabilityManager.running
    return Report() if running is None else running.status()


def _instrument_app(app: Any, manager: ObservabilityManager) -> None:
    known = sys.modules.get("starlette.applications")  # whoever has made an application has imported it
    if known is not None and isinstance(app, known.Starlette):
        from gnomon.integrations.starlette import instrument_app  # noqa: PLC0415 - there is an application

        instrument_app(app, manager.telemetry)
    else:
        log.warning(
            "%s is no Starlette or FastAPI application, and is not instrumented: "
            "put gnomon.integrations.asgi.Middleware around an ASGI application of another kind",
            type(app).__qualname__,
        )


class _LastWords:
    """However a process ends, short of being killed outright, what it recorded is sent first.

    `atexit` serves scripts and gunicorn's workers. The children of `multiprocessing` (uvicorn's and granian's workers)
    leave without it, but run its finalizers. SIGTERM would end a process that has no handler on the spot: there, and
    only there, we send first and let the signal do its work then.
    """

    def __init__(self) -> None:
        self._pid = 0
        after_fork(self.arrange)

    def arrange(self) -> None:
        """For this process, once; a forked child is another one."""
        if self._pid == os.getpid() or ObservabilityManager.running is None:
            return
        if not self._pid:
            atexit.register(shutdown)
        self._pid = os.getpid()
        if "multiprocessing.util" in sys.modules:
            util = sys.modules["multiprocessing.util"]
            _finalize(util)
            # A child that it has forked forgets all finalizers first, and calls these then.
            util.register_after_fork(util, _finalize)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            with contextlib.suppress(ValueError):  # not the main interpreter
                signal.signal(signal.SIGTERM, _terminated)


def _finalize(util: Any) -> None:
    util.Finalize(None, shutdown, exitpriority=100)


def _terminated(number: int, _: FrameType | None) -> None:
    if os.getpid() == 1:  # a container's first process, whom the default action does not end: it goes on as without us
        flush()
        return
    shutdown()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


_last_words = _LastWords()
