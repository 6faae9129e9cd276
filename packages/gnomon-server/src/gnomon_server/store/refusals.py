"""ClickHouse's error codes as our errors: what the caller should do about each.

Source: ClickHouse src/Common/ErrorCodes.cpp (`SELECT errorCodeToName(243)`). Codes not listed are the statement's fault
when we ask for somebody, and `Internal` when rows are not taken.
"""

import re

from gnomon_server.errors import DeadlineExceeded, GnomonError, Internal, InvalidInput, TooLarge, Unavailable

_NOT_ENOUGH_SPACE = 243
_BUSY = {202, 252, 394, 439, 173}
"""TOO_MANY_SIMULTANEOUS_QUERIES, TOO_MANY_PARTS, QUERY_WAS_CANCELLED, CANNOT_SCHEDULE_TASK, CANNOT_ALLOCATE_MEMORY"""
_AWAY = {209, 210, 225, 236, 242, 279, 285, 286, 289, 319, 999}
"""SOCKET_TIMEOUT, NETWORK_ERROR, NO_ZOOKEEPER, ABORTED, TABLE_IS_READ_ONLY (a replica without its keeper),
ALL_CONNECTION_TRIES_FAILED, TOO_FEW_LIVE_REPLICAS, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE, REPLICA_IS_NOT_IN_QUORUM,
UNKNOWN_STATUS_OF_INSERT, KEEPER_EXCEPTION"""
_NO_ACCESS = {192, 193, 194, 497, 516}
"""UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, ACCESS_DENIED, AUTHENTICATION_FAILED"""
_SLOW = {159, 160}  # TIMEOUT_EXCEEDED, TOO_SLOW
_TOO_MUCH = {158, 241, 307, 396}  # TOO_MANY_ROWS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_BYTES, TOO_MANY_ROWS_OR_BYTES
_LOGICAL_ERROR = 49
_OF_THE_SERVER_ITSELF = 1000  # POCO_EXCEPTION, STD_EXCEPTION, UNKNOWN_EXCEPTION
_PROXY_AWAY = {429, 502, 503, 504}  # HTTP statuses of what stands before ClickHouse; its own come with a code
_NO_SPACE = re.compile(r"No space left on device|errno: 28\b|NOT_ENOUGH_SPACE")
_READ_ONLY = re.compile(r"Read-only file system|errno: (?:30|13)\b|Permission denied")
_VERSION = re.compile(r" \(version [^)]*\)\s*$")


def query_error(code: int, text: str, status: int = 500) -> GnomonError:
    """The error of a query: the SQL's fault unless it ran into a bound, or the store could not."""
    what = _VERSION.sub("", text.strip())
    if code in _SLOW:
        return DeadlineExceeded("query_deadline", what, hint="narrow the time range, or raise query.deadline_s")
    if code in _TOO_MUCH:
        return TooLarge("query_too_large", what, hint="narrow the time range, select fewer columns, or add LIMIT")
    if code in _BUSY:
        return Unavailable("query_refused", what)
    if unable := _unable(code, what, status):
        return unable
    if code in (0, _LOGICAL_ERROR) or code >= _OF_THE_SERVER_ITSELF:
        return Internal("store_failed", what)
    return InvalidInput(f"sql_{code}", what)


def insert_error(code: int, text: str, status: int = 500) -> GnomonError:
    """The error of an insert: `Unavailable` when the same rows may be taken later."""
    what = _VERSION.sub("", text.strip())
    if code in _BUSY or code in _TOO_MUCH or code in _SLOW:
        return Unavailable("store_busy", what, retry_after_s=2)
    return _unable(code, what, status) or Internal("insert_failed", what)


def _unable(code: int, what: str, status: int) -> Unavailable | None:
    """The store cannot now, whatever it is asked."""
    if code == _NOT_ENOUGH_SPACE or _NO_SPACE.search(what):
        return Unavailable(
            "disk_full",
            "the disk of the data directory is full",
            hint="free space; writes resume by themselves",
            retry_after_s=10,
        )
    if _READ_ONLY.search(what):
        return Unavailable(
            "data_read_only",
            "the data directory cannot be written",
            hint="mend its permissions or remount it",
            retry_after_s=10,
        )
    if code in _NO_ACCESS:
        return Unavailable("store_denies_access", what, hint="mend store.user and store.password", retry_after_s=10)
    if code in _AWAY or (code == 0 and status in _PROXY_AWAY):
        return Unavailable("store_away", what or f"HTTP status {status}", retry_after_s=2)
    return None
