"""The library behind a small face: one clean connection a statement, and KILL QUERY from a connection of its own.

Nothing is pooled. A connection costs 0.16 ms and starts without settings, parameters, current database or temporary
tables, so that nothing a statement sets can reach another: isolation by construction. Sharing one does leak (1 of 1,200
parameterised queries returned another thread's value).
"""

import faulthandler
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from .protocol import EngineError, Statistics

# The library's setting that is free for us to carry the client's query id: it chooses its own ids.
ID_SETTING = "chdb_client_name"

# Where the library's defaults are not the server's, or not safe.
_BASE_SETTINGS = {
    "implicit_select": "0",  # `1 + 1` is no statement to a server
    "async_insert": "0",  # an acknowledged insert is stored
    "allow_introspection_functions": "0",
}


def quote(text: str) -> str:
    """A string literal of ClickHouse."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(text: str) -> str:
    """A quoted identifier of ClickHouse."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


class Connection:
    """One checked-out connection. Not for two threads at once."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def execute(
        self, statement: str | bytes, output_format: str = "TabSeparated", values: Mapping[str, str] | None = None
    ) -> tuple[bytes, Statistics]:
        """Run one statement to its end; the result is what it did not write to a file.

        Raises:
            EngineError: with ClickHouse's code.
        """
        try:
            result = self._raw.query(statement, output_format, params=dict(values or {}))
        except RuntimeError as error:
            raise EngineError.from_library(str(error)) from None
        return result.bytes(), Statistics(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=result.bytes_read(),
            elapsed_ns=round(result.elapsed() * 1e9),
        )

    def classify(self, statement: bytes) -> tuple[bool, int]:
        """Ask the library's parser: does the text only read, and how many statements it holds (0: unparsable)."""
        found = self._raw.classify_query(statement.decode("utf-8", "replace"))
        return found["query_class"].name == "READ_ONLY", found["statement_count"]


class Database:
    """The open data directory. Keep one per process; it must be made in the main thread, before any other."""

    def __init__(self, path: Path, config_file: Path) -> None:
        # The timezone of the configuration file is not applied, this is.
        os.environ["TZ"] = "UTC"
        # Imported here and nowhere else: it starts threads, and reads ./config.xml of the working directory.
        library: Any = import_module("chdb._chdb")

        # The library's handlers hang for 300 s on a crash; faulthandler writes the stack and lets the process die.
        library.set_signal_handlers_enabled(False)
        faulthandler.enable()
        self._connect = library.connect
        # The level in the configuration file is not applied either: without this the log holds every trace.
        self._address = f"{path}?config-file={config_file}&log-level=warning"
        self._anchor = self._connect(self._address)
        self._control = Connection(self._connect(self._address))
        self._control_lock = threading.Lock()
        self._pulse = Connection(self._connect(self._address))
        self._pulse_lock = threading.Lock()
        version, self.timezone = self._control.execute("SELECT version(), timezone()")[0].decode().split()
        self.version = version

    @contextmanager
    def session(self, settings: Mapping[str, str], database: str | None, query_id: str) -> Iterator[Connection]:
        """A fresh connection with these settings, closed at the end."""
        try:
            raw = self._connect(self._address)
        except RuntimeError as error:
            raise EngineError.from_library(str(error)) from None
        try:
            connection = Connection(raw)
            if database:
                connection.execute(f"USE {quote_name(database)}")
            every = _BASE_SETTINGS | {ID_SETTING: query_id} | dict(settings)
            connection.execute("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in every.items()))
            yield connection
        finally:
            raw.close()

    def kill(self, query_id: str | None = None) -> None:
        """Ask a running statement (all, for None) to end; it does within 0.5 s. No effect when there is none."""
        condition = f"= {quote(query_id)}" if query_id is not None else "!= ''"
        with self._control_lock:
            self._control.execute(f"KILL QUERY WHERE Settings['{ID_SETTING}'] {condition} ASYNC")

    def pulse(self) -> None:
        """Return once the library has run a statement, or has refused it (for want of memory, say): it is alive."""
        with self._pulse_lock, suppress(EngineError):
            self._pulse.execute("SELECT 1")

    def close(self) -> None:
        """Close the last connections, which closes the data directory. No statement may be running."""
        with self._control_lock, self._pulse_lock:
            self._control._raw.close()  # noqa: SLF001 - the owner closes
            self._pulse._raw.close()  # noqa: SLF001
            self._anchor.close()
