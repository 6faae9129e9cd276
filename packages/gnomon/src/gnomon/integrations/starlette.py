"""Starlette and FastAPI: every application that is built from now on, or one that exists already."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Match, Mount

from gnomon.integrations.asgi import Middleware, Scope
from gnomon.integrations.telemetry import Telemetry


def install(telemetry: Telemetry) -> Callable[[], None]:
    """Put the middleware around every application when its stack is built, which happens with its first message."""
    undo: list[Callable[[], None]] = []

    def follow(kind: type[Starlette]) -> None:
        if "build_middleware_stack" in vars(kind):  # FastAPI builds a stack of its own
            undo.append(_patched(kind, telemetry))
        for below in kind.__subclasses__():
            follow(below)

    def made(cls: type[Starlette], /, **options: Any) -> None:
        super(Starlette, cls).__init_subclass__(**options)
        follow(cls)

    follow(Starlette)
    # Classes that are defined later, FastAPI's among them: it may be half imported now, for it imports Starlette.
    Starlette.__init_subclass__ = classmethod(made)  # type: ignore[assignment]  # Starlette has none of its own

    def undone() -> None:
        del Starlette.__init_subclass__
        for one in undo:
            one()

    return undone


def _patched(kind: type[Starlette], telemetry: Telemetry) -> Callable[[], None]:
    build = kind.build_middleware_stack

    def built(self: Starlette) -> Any:
        stack = build(self)
        if getattr(self, "_gnomon", False) or isinstance(stack, Middleware):  # `instrument_app` has, or a subclass's
            return stack
        _own(self)
        return Middleware(stack, _fitting(self, telemetry), route)

    kind.build_middleware_stack = built  # type: ignore[method-assign]  # what an instrumentation does

    def undo() -> None:
        kind.build_middleware_stack = build  # type: ignore[method-assign]  # as it was

    return undo


def instrument_app(app: Starlette, telemetry: Telemetry) -> None:
    """Put the middleware around one application; around one that has it already, nothing happens."""
    if getattr(app, "_gnomon", False):
        return
    app._gnomon = True  # type: ignore[attr-defined]  # noqa: SLF001 - our own mark
    _own(app)
    telemetry = _fitting(app, telemetry)
    if app.middleware_stack is not None:  # it has served already
        app.middleware_stack = Middleware(app.middleware_stack, telemetry, route)
        return
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Middleware(build(), telemetry, route)  # type: ignore[method-assign]  # this one


def _fitting(app: Starlette, telemetry: Telemetry) -> Telemetry:
    """An application that answers scrapes itself goes on doing so."""
    path = telemetry.options.get("metrics_path")
    return replace(telemetry, endpoint=None) if any(_answers(one, path) for one in app.routes) else telemetry


def _answers(route: Any, path: Any) -> bool:
    """Whether a route is at a path. FastAPI's included routers have none of their own, and are asked."""
    own = getattr(route, "path", None)
    if own is not None:
        return bool(own == path)
    asked = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    try:
        return bool(route.matches(asked)[0] is Match.FULL)
    except Exception:  # noqa: BLE001 - a route of a kind of its own
        return False


def _own(app: Starlette) -> None:
    """One owner for a request's span: FastAPI makes some of its own since 0.16x, as soon as a provider is set.

    An application that gave FastAPI a provider of its own keeps what it asked for.
    """
    native: Any = getattr(app, "_telemetry", None)
    if isinstance(native, dict) and not any(native.get(f"{kind}_provider") for kind in ("tracer", "meter", "logger")):
        native.update(tracing=False, metrics=False, logs=False, auto_configure=False)


def route(scope: Scope) -> str:
    """The template of the route taken, with those of the mounts above it; "" when none matched.

    Starlette leaves the route in the scope that we were given. Of a mount only the text that it matched is left, so
    what its parameters took there is replaced by their names again.
    """
    taken = scope.get("route")
    if taken is None and "router" not in scope:  # answered before any router was asked: by a middleware
        return _would_take(scope)
    # FastAPI's included routers keep the whole path beside the route, which knows its own part only.
    inner: Any = scope.get("fastapi")
    effective = inner.get("effective_route_context") if inner.__class__ is dict else None
    path: str = getattr(effective, "path", "") or getattr(taken, "path", "")
    above: str = scope.get("root_path", "")
    mounted = above[len(scope.get("app_root_path", above)) :]
    if not mounted or isinstance(taken, Mount):
        return path
    own = getattr(taken, "param_convertors", ())
    for name, value in scope.get("path_params", {}).items():
        if name not in own:
            mounted = mounted.replace(f"/{value}", f"/{{{name}}}")
    return mounted + path


def _would_take(scope: Scope) -> str:
    """The template of the route that a request would have taken, had a middleware not answered it."""
    return _among(getattr(scope.get("app"), "routes", ()), scope)


def _among(candidates: Iterable[Any], scope: Scope) -> str:
    for one in candidates:
        # A router that FastAPI has included knows the whole paths of what is in it.
        within = getattr(one, "effective_candidates", None)
        if within is not None:
            if found := _among(within(), scope):
                return found
        elif one.matches(scope)[0] is Match.FULL:
            return str(getattr(one, "path", ""))
    return ""
