"""Sends prepared remote write requests: a connection a shard, each shard in order, nothing encoded meanwhile.

Shards wait for each other now and then: Prometheus refuses what is an hour older than the newest it has.
"""

import http.client
import mmap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bodies import Slice

_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_BUSY = (429, 503)
_TOGETHER = 25  # requests of a shard; of the fewest series that is 25 minutes of data


@dataclass(frozen=True)
class Sent:
    """How long it took until all was acknowledged, and how often the receiver asked to wait."""

    seconds: float
    busy: int


def send(address: str, slice_: Slice) -> Sent:
    """All requests of a slice; anything but 2xx, 429 and 503 ends the benchmark."""
    with slice_.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stored:
        connections = [http.client.HTTPConnection(address, timeout=120) for _ in slice_.shards]

        def run(connection: http.client.HTTPConnection, places: list[tuple[int, int]]) -> int:
            busy = 0
            for at, length in places:
                while _post(connection, stored[at : at + length]) in _BUSY:
                    busy += 1
                    time.sleep(0.2)
            return busy

        busy, began = 0, time.monotonic()
        with ThreadPoolExecutor(len(slice_.shards)) as pool:
            for first in range(0, max(map(len, slice_.shards)), _TOGETHER):
                parts = [places[first : first + _TOGETHER] for places in slice_.shards]
                busy += sum(pool.map(run, connections, parts))
        seconds = time.monotonic() - began
        for connection in connections:
            connection.close()
        return Sent(seconds, busy)


def _post(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/api/v1/write", body, _HEADERS)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= 300 and answer.status not in _BUSY:
        raise SystemExit(f"remote write: {answer.status} {said[:500]!r}")
    return answer.status
