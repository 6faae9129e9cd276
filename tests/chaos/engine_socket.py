"""Statements straight to the engine of a server, past the query door: to bend its tables for a test."""

import http.client
import socket

from tests.server import Server


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def command(server: Server, statement: str) -> str:
    """Run one statement; returns what it prints."""
    connection = _Connection(str(server.folder / "data" / "engine.sock"))
    try:
        connection.request("POST", "/?database=gnomon", statement.encode())
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, text
    return text


def tables(server: Server) -> list[str]:
    """The tables that hold rows."""
    return command(
        server, "SELECT name FROM system.tables WHERE database = 'gnomon' AND engine LIKE '%MergeTree' FORMAT TSV"
    ).split()
