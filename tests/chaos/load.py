"""`python -m tests.chaos.load --addresses FILE --journal FILE`: senders that behave as SDKs do, until they are stopped.

Each sender makes one request after another and repeats the same bytes until it is acknowledged: on UNAVAILABLE,
RESOURCE_EXHAUSTED, 429, 502-504 and lost connections. The journal has a line for each request before it is first sent
and one after its acknowledgement. SIGTERM ends it when each sender has got its answer, `--give-up` seconds at most.
"""

import argparse
import http.client
import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.chaos.payloads import SIGNALS, Request

_TRIES_S = 10.0
_PAUSE_S = (0.05, 0.5)
_RETRYABLE_STATUS = {429, 502, 503, 504}
_RETRYABLE_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
}
_STUBS = {"traces": TraceServiceStub, "logs": LogsServiceStub, "metrics": MetricsServiceStub}


class RefusedError(Exception):
    """An answer that tells a sender to drop its data: none is right here, and it fails the run."""


class Journal:
    """What was sent and what was acknowledged, a line each."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", encoding="ascii", buffering=1)
        self._lock = threading.Lock()

    def note(self, event: str, request: Request, **more: Any) -> None:
        line = json.dumps({"event": event, "at": time.monotonic_ns(), **request.line(), **more})
        with self._lock:
            self._file.write(line + "\n")


def over_http(addresses: Callable[[], dict[str, str]], signal_name: str) -> Callable[[Request], bool]:
    """A function that sends once: True when acknowledged, False when to try again."""

    def send(request: Request) -> bool:
        url = f"http://{addresses()['otlp-http']}/v1/{signal_name}"
        body = request.message().SerializeToString()
        post = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
        try:
            with urllib.request.urlopen(post, timeout=_TRIES_S) as answer:
                partial = answer.read()
        except urllib.error.HTTPError as error:
            with closing(error):
                if error.code in _RETRYABLE_STATUS:
                    return False
                raise RefusedError(f"{error.code} {error.read()!r}") from None
        except (OSError, http.client.HTTPException):
            return False
        if partial:
            raise RefusedError(f"partial success: {partial!r}")
        return True

    return send


def over_grpc(addresses: Callable[[], dict[str, str]], signal_name: str) -> Callable[[Request], bool]:
    """The same over gRPC; a new channel when the address has changed."""
    channels: dict[str, grpc.Channel] = {}

    def send(request: Request) -> bool:
        target = addresses()["otlp-grpc"]
        if target not in channels:
            for old in channels.values():
                old.close()
            channels.clear()
            channels[target] = grpc.insecure_channel(target)
        try:
            answer = _STUBS[signal_name](channels[target]).Export(request.message(), timeout=_TRIES_S)
        except grpc.RpcError as error:
            if error.code() in _RETRYABLE_CODES:
                return False
            raise RefusedError(f"{error.code()} {error.details()}") from None
        if answer.ByteSize():
            raise RefusedError(f"partial success: {answer}")
        return True

    return send


def _requests(signal_name: str, service: str, chance: random.Random, most: int) -> Iterator[Request]:
    at_ns = time.time_ns()
    number = 0
    while True:
        request = Request(signal_name, service, number, chance.randint(1, most), max(at_ns, time.time_ns()))
        # Points of a series stand a millisecond apart.
        at_ns = request.at_ns - request.at_ns % 1_000_000 + (request.records + 1) * 1_000_000
        number += 1
        yield request


def _sender(
    send: Callable[[Request], bool],
    requests: Iterator[Request],
    journal: Journal,
    stop: threading.Event,
    give_up_s: float,
) -> None:
    chance = random.Random()
    for request in requests:
        if stop.is_set():
            return
        journal.note("sent", request)
        tries, last = 1, 0.0
        while True:
            try:
                acknowledged = send(request)
            except RefusedError as refusal:
                journal.note("refused", request, why=str(refusal))
                return
            if acknowledged:
                break
            if stop.is_set():
                last = last or time.monotonic()
                if time.monotonic() - last > give_up_s:
                    return
            tries += 1
            time.sleep(chance.uniform(*_PAUSE_S))
        journal.note("acked", request, tries=tries)


def main() -> None:
    """Send until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--addresses", type=Path, required=True, help="JSON file: otlp-grpc and otlp-http, as now")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--name", default="load", help="the services are called NAME-signal-protocol")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=int, default=200, help="most records in a request")
    parser.add_argument("--give-up", type=float, default=60.0)
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def addresses() -> dict[str, str]:
        found: dict[str, str] = json.loads(arguments.addresses.read_text())
        return found

    journal = Journal(arguments.journal)
    senders = []
    for signal_name in SIGNALS:
        for protocol, way in (("grpc", over_grpc), ("http", over_http)):
            service = f"{arguments.name}-{signal_name}-{protocol}"
            requests = _requests(signal_name, service, random.Random(f"{arguments.seed}{service}"), arguments.records)
            work = (way(addresses, signal_name), requests, journal, stop, arguments.give_up)
            senders.append(threading.Thread(target=_sender, args=work))
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


if __name__ == "__main__":
    main()
