"""ClickHouse's error codes as our errors: what the caller should do about each.

Source: ClickHouse src/Common/ErrorCodes.cpp. Codes not listed are `Internal` for our own statements.
"""

import re

from gnomon_server.errors import DeadlineExceeded, GnomonError, Internal, InvalidInput, TooLarge, Unavailable

_DISK_FULL = {243, 411}  # NOT_ENOUGH_SPACE
_BUSY = {202, 252, 394}  # TOO_MANY_SIMULTANEOUS_QUERIES, TOO_MANY_PARTS, QUERY_WAS_CANCELLED
_SLOW = {159, 160}  # TIMEOUT_EXCEEDED, TOO_SLOW
_TOO_MUCH = {158, 241, 307, 396}  # TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES
_NO_SPACE = re.compile(r"No space left on device|errno: 28\b|NOT_ENOUGH_SPACE")
_READ_ONLY = re.compile(r"Read-only file system|errno: (?:30|13)\b|Permission denied")
_VERSION = re.compile(r" \(version [^)]*\)\s*$")


def query_error(code: int, text: str) -> GnomonError:
    """The error of a query: the SQL's fault unless it ran into a bound."""
    what = _VERSION.sub("", text.strip())
    if code in _SLOW:
        return DeadlineExceeded("query_deadline", what, hint="narrow the time range, or raise query.deadline")
    if code in _TOO_MUCH:
        return TooLarge("query_too_large", what, hint="narrow the time range, select fewer columns, or add LIMIT")
    if code in _BUSY:
        return Unavailable("query_refused", what)
    if code == 0 or code >= 1000:  # noqa: PLR2004  (1000 and up are faults of the server itself)
        return Internal("store_failed", what)
    return InvalidInput(f"sql_{code}", what)


def insert_error(code: int, text: str) -> GnomonError:
    """The error of an insert: `Unavailable` when the same rows may be taken later."""
    what = _VERSION.sub("", text.strip())
    if code in _DISK_FULL or _NO_SPACE.search(text):
        return Unavailable(
            "disk_full", "the disk of the data directory is full", hint="free space; writes resume by themselves",
            retry_after_s=10,
        )
    if _READ_ONLY.search(text):
        return Unavailable(
            "data_read_only", "the data directory cannot be written", hint="mend its permissions or remount it",
            retry_after_s=10,
        )
    if code in _BUSY or code in _TOO_MUCH or code in _SLOW:
        return Unavailable("store_busy", what, retry_after_s=2)
    return Internal("insert_failed", what)
