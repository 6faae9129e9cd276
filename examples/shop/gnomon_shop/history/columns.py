"""What requests carry, as columns of bytes and numbers for the templates of records."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gnomon_shop.history.traffic import ACTION, Rows
from gnomon_shop.history.wire import Bytes
from gnomon_shop.load.scan import AGENTS as PROBERS
from gnomon_shop.load.scan import INJECTIONS, SOURCES
from gnomon_shop.load.users import AGENTS, User

Columns = dict[str, NDArray[np.generic]]

# Texts whose width differs from row to row; records are made for each width apart.
RAGGED = ("duration", "word", "quantity", "items", "cents", "address", "agent")
WIDTHS = {"user": 5, "session": 12, "product": 5, "order": 12, "message": 16, "found": 2, "peer_port": 5}

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


class Texts:
    """Tables of what users, products and words are called."""

    def __init__(self, crowd: tuple[User, ...], products: list[str], words: list[str]) -> None:
        names = [user.id for user in crowd]
        self.users, self.products = (np.array(texts, "S5").view(np.uint8).reshape(-1, 5) for texts in (names, products))
        self.words = np.array(words, "S")
        self.addresses = np.array([user.address for user in crowd], "S")
        self.agents = np.array([AGENTS[user.device] for user in crowd], "S")

    def columns(self, rows: Rows) -> Columns:
        """The fixed-width columns of requests."""
        port = 32768 + rows["request"][:, 0].astype(np.int64) * 100 + rows["request"][:, 1]
        return {
            "user": self.users[rows["user"]],
            "session": _session(rows["session"]),
            "product": self.products[rows["product"]],
            "order": hexadecimal(_big_endian(rows["order"])[:, 2:]),
            "message": hexadecimal(rows["request"]),
            "trace": np.ascontiguousarray(rows["trace"]),
            "port": port,
            "peer_port": texts(port.astype("S5"), 5),
            "due": np.ascontiguousarray(rows["cents"]),
            "cart": np.ascontiguousarray(rows["cart"]),
            "found": np.broadcast_to(np.frombuffer(b"12", np.uint8), (len(rows), 2)),
        }

    def ragged(self, rows: Rows) -> dict[str, Callable[[], NDArray[np.bytes_]]]:
        """Those of varying width, made when they are asked for."""
        probes = rows["action"] == ACTION["probe"]
        return {
            "word": lambda: np.where(
                probes, _one_of(INJECTIONS, rows), self.words[(rows["dice"][:, 6] * len(self.words)).astype(int)]
            ),
            "quantity": lambda: rows["quantity"].astype("S"),
            "items": lambda: rows["items"].astype("S"),
            "cents": lambda: rows["cents"].astype("S"),
            "address": lambda: np.where(probes, _one_of(SOURCES, rows), self.addresses[rows["user"]]),
            "agent": lambda: np.where(probes, _one_of(PROBERS, rows), self.agents[rows["user"]]),
        }


def _one_of(names: tuple[str, ...], rows: Rows) -> NDArray[np.bytes_]:
    return np.asarray(np.array(names, "S")[(rows["dice"][:, 6] * len(names)).astype(int)])


def hexadecimal(column: Bytes) -> Bytes:
    """Two digits for each byte; `uint8[n, 2 x width]`."""
    column = np.ascontiguousarray(column)
    digits = np.empty((len(column), 2 * column.shape[1]), np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _HEX[column >> 4], _HEX[column & 15]
    return digits


def widths_of(column: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """How long each text is."""
    return np.asarray(np.char.str_len(column))


def texts(column: NDArray[np.bytes_], width: int) -> Bytes:
    """Texts that are all `width` long."""
    return np.ascontiguousarray(column.astype(f"S{width}")).view(np.uint8).reshape(len(column), width)


def _big_endian(column: NDArray[np.uint64]) -> Bytes:
    return column.astype(">u8").view(np.uint8).reshape(len(column), 8)


def _session(numbers: NDArray[np.uint32]) -> Bytes:
    """`visit-000123`, as the load numbers them."""
    digits = numbers[:, None] // 10 ** np.arange(5, -1, -1) % 10 + ord("0")
    head = np.broadcast_to(np.frombuffer(b"visit-", np.uint8), (len(numbers), 6))
    return np.concatenate([head, digits.astype(np.uint8)], axis=1)
