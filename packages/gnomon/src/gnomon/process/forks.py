"""Forks: what was copied into a child must not be used there as it is.

Threads do not survive a fork, locks may be held by threads that are gone, ids would repeat, and what the parent had
queued would be sent twice. Each part says here how it begins anew; nobody has to call a hook.
"""

import contextlib
import os
import threading  # noqa: F401 - its own hook must be registered before ours, which start threads
import weakref
from collections.abc import Callable
from typing import Any

_after: list[weakref.WeakMethod[Callable[[], Any]]] = []


def after_fork(method: Callable[[], Any]) -> None:
    """Call a bound method in every forked child, in the order of registration, for as long as its object lives."""
    _after.append(weakref.WeakMethod(method))


def _in_child() -> None:
    for reference in list(_after):
        method = reference()
        if method is None:
            _after.remove(reference)
            continue
        with contextlib.suppress(Exception):  # a child of our host must be born, whatever we think of it
            method()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_in_child)
