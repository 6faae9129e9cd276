"""Waiting for a library: instrumented when the host imports it, and never imported by us."""

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

log = logging.getLogger("gnomon.integrations")


class _Waiting(importlib.abc.MetaPathFinder):
    """Stands first among the finders, finds nothing itself, and listens when a module it waits for is loaded."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callable[[], object]]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.callbacks:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Telling(spec.loader, self, name)
                return spec
        return None


class _Telling(importlib.abc.Loader):
    """A loader that tells when it is done. In all else the loader that it stands before."""

    def __init__(self, loader: Any, waiting: _Waiting, name: str) -> None:
        self._loader, self._waiting, self._name = loader, waiting, name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]  # as the loader's

    def exec_module(self, module: ModuleType) -> None:
        # The module must not see us: resources and `inspect` ask for its loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for callback in self._waiting.callbacks.pop(self._name, ()):
            tell(callback, self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_waiting = _Waiting()


def when_imported(name: str, callback: Callable[[], object]) -> None:
    """Call back when a module has been imported: now, if it has been. An exception is logged and goes no further."""
    if name in sys.modules:
        tell(callback, name)
        return
    if _waiting not in sys.meta_path:
        sys.meta_path.insert(0, _waiting)
    _waiting.callbacks.setdefault(name, []).append(callback)


def forget() -> None:
    """Wait for nothing any more."""
    _waiting.callbacks.clear()
    if _waiting in sys.meta_path:
        sys.meta_path.remove(_waiting)


def tell(callback: Callable[[], object], name: str) -> None:
    """Call, and let nothing out: a library that changed must not break the import of its user."""
    try:
        callback()
    except Exception:
        log.warning("%s could not be instrumented; it works without us", name, exc_info=True)
