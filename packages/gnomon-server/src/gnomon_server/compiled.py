"""How a loop becomes machine code: compiled when it is first called, kept on disk, without the interpreter's lock."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """A loop over arrays, compiled for the types of its first call.

    The machine code is kept beside the source, in the user's cache directory or in NUMBA_CACHE_DIR, whichever can be
    written; where none can, each process compiles for itself, some 0.3 s a loop. NUMBA_DISABLE_JIT=1 leaves it Python,
    for a debugger. Floating point is as in C, operation by operation: nothing is fused or put in another order. A loop
    calls others with numbers: an array that is handed on costs two atomic operations, some 10 ns.
    """
    try:
        return numba.njit(function, nogil=True, error_model="numpy", cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no place to keep it
        return numba.njit(function, nogil=True, error_model="numpy")  # type: ignore[no-any-return]
