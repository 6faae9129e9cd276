"""OTLP over gRPC: to the real server, and to receivers that answer with everything there is."""

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.trace import SpanKind
from tests.sdk.grpc.services import Seen, call
from tests.server import Server
from tests.waiting import until

from gnomon.errors import ExportError
from gnomon.export import grpc as exporter
from gnomon.export.grpc import METHODS, GrpcSender
from gnomon.export.outlet import Signal
from gnomon.export.sender import Answer, Verdict
from gnomon.wire.envelope import request, resource

TLS = Path(__file__).parents[2] / "cases" / "tls"
Answering = Callable[[bytes, grpc.ServicerContext], bytes]


class Receiver:
    """A receiver that answers as it is told, and keeps what it got."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None, **options: Any) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.metadata: dict[str, Any] = {}
        self.answer: Answering = lambda _body, _context: b""
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=tuple(options.items()))
        self._server.add_generic_rpc_handlers([self])
        port = (
            self._server.add_secure_port("localhost:0", credentials)
            if credentials
            else self._server.add_insecure_port("localhost:0")
        )
        self.target = f"localhost:{port}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def take(body: bytes, context: grpc.ServicerContext) -> bytes:
            self.bodies.append((details.method, body))
            self.metadata = dict(context.invocation_metadata())
            return self.answer(body, context)

        return grpc.unary_unary_rpc_method_handler(take)

    def stop(self) -> None:
        self._server.stop(0).wait()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def sender(receiver: Receiver) -> Iterator[GrpcSender]:
    """A sender to it."""
    sender = GrpcSender(receiver.target)
    yield sender
    sender.close()


def _aborting(code: grpc.StatusCode, details: str = "no", *infos: Any) -> Answering:
    def answer(_body: bytes, context: grpc.ServicerContext) -> bytes:
        if infos:
            packed = []
            for info in infos:
                one = AnyMessage()
                one.Pack(info)
                packed.append(one)
            status = Status(code=code.value[0], message=details, details=packed)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, details)
        raise AssertionError

    return answer


def test_a_request_goes_where_its_signal_goes(receiver: Receiver, sender: GrpcSender) -> None:
    """Each signal has its service, and the body arrives as it was."""
    for signal in Signal:
        assert sender.send(signal, signal.encode(), 5.0) == Answer(Verdict.TAKEN)
    assert receiver.bodies == [(METHODS[signal], signal.encode()) for signal in Signal]
    assert METHODS[Signal.TRACES] == "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    assert receiver.metadata["user-agent"].startswith("gnomon-python")


def test_headers_and_gzip(receiver: Receiver) -> None:
    """Headers go as metadata, in the small letters that gRPC asks for; bodies are compressed when told."""
    sender = GrpcSender(receiver.target, headers={"Authorization": "Bearer t"}, compress=True)
    assert sender.send(Signal.LOGS, b"a" * 10_000, 5.0).verdict is Verdict.TAKEN
    assert receiver.metadata["authorization"] == "Bearer t"
    assert receiver.bodies[0][1] == b"a" * 10_000
    sender.close()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        *((name, Verdict.AGAIN) for name in sorted(exporter.RETRYABLE)),
        *(
            (code.name, Verdict.NEVER)
            for code in grpc.StatusCode
            if code is not grpc.StatusCode.OK and code.name not in exporter.RETRYABLE
        ),
    ],
)
def test_a_status_decides(receiver: Receiver, sender: GrpcSender, code: str, verdict: Verdict) -> None:
    """What the specification calls retryable is tried again; all else, also RESOURCE_EXHAUSTED alone, is not."""
    receiver.answer = _aborting(grpc.StatusCode[code], "because")
    assert sender.send(Signal.TRACES, b"", 5.0) == Answer(verdict, f"gRPC {code}: because")


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
def test_a_receiver_asks_us_to_wait(receiver: Receiver, sender: GrpcSender, code: grpc.StatusCode) -> None:
    """RetryInfo is found among other details, and makes RESOURCE_EXHAUSTED retryable."""
    wait = RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    receiver.answer = _aborting(code, "busy", ErrorInfo(reason="LOAD"), wait)
    answer = sender.send(Signal.TRACES, b"", 5.0)
    assert (answer.verdict, answer.after_s) == (Verdict.AGAIN, 2.5)


@pytest.mark.parametrize("status", [b"\xff", b"\x1a\x7f", b"\x0d1234", b"\x1a\x02\x08\x01", bytes(200), b"\x18\x05"])
def test_details_that_are_none(receiver: Receiver, sender: GrpcSender, status: bytes) -> None:
    """What claims to be a status and is not says nothing about waiting."""

    def answer(_body: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", status),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
        raise AssertionError

    receiver.answer = answer
    assert sender.send(Signal.TRACES, b"", 5.0) == Answer(Verdict.NEVER, "gRPC RESOURCE_EXHAUSTED: busy")


def test_an_endless_wait_is_cut(receiver: Receiver, sender: GrpcSender) -> None:
    """Nobody makes us wait for a day."""
    wait = RetryInfo(retry_delay=Duration(seconds=86_400))
    receiver.answer = _aborting(grpc.StatusCode.UNAVAILABLE, "busy", wait)
    assert sender.send(Signal.TRACES, b"", 5.0).after_s == 300.0


@pytest.mark.parametrize(
    ("signal", "response", "field"),
    [
        (Signal.TRACES, ExportTraceServiceResponse, "rejected_spans"),
        (Signal.METRICS, ExportMetricsServiceResponse, "rejected_data_points"),
        (Signal.LOGS, ExportLogsServiceResponse, "rejected_log_records"),
    ],
)
def test_partial_success(receiver: Receiver, sender: GrpcSender, signal: Signal, response: Any, field: str) -> None:
    """What was not taken is counted, with the receiver's words."""
    told = response()
    setattr(told.partial_success, field, 3)
    told.partial_success.error_message = "too old"
    receiver.answer = lambda _body, _context: told.SerializeToString()
    assert sender.send(signal, b"", 5.0) == Answer(Verdict.TAKEN, "too old", rejected=3)


def test_nonsense_for_an_answer(receiver: Receiver, sender: GrpcSender) -> None:
    """An answer that is no message has still been an answer."""
    receiver.answer = lambda _body, _context: b"\xff\xff\xff"
    assert sender.send(Signal.TRACES, b"", 5.0) == Answer(Verdict.TAKEN)


def test_a_request_too_large() -> None:
    """A receiver with a limit gets the batch in smaller pieces."""
    receiver = Receiver(**{"grpc.max_receive_message_length": 1000})
    sender = GrpcSender(receiver.target)
    assert sender.send(Signal.TRACES, bytes(5000), 5.0).verdict is Verdict.TOO_LARGE
    assert sender.send(Signal.TRACES, bytes(500), 5.0).verdict is Verdict.TAKEN
    sender.close()
    receiver.stop()


def test_a_receiver_that_never_answers(receiver: Receiver, sender: GrpcSender) -> None:
    """The deadline holds, and the request is tried again."""
    until_free = futures.Future[bytes]()
    receiver.answer = lambda _body, _context: until_free.result(20)
    began = time.monotonic()
    answer = sender.send(Signal.TRACES, b"", 0.3)
    assert answer.verdict is Verdict.AGAIN
    assert answer.why.startswith("gRPC DEADLINE_EXCEEDED")
    assert time.monotonic() - began < 15
    until_free.set_result(b"")


def test_a_receiver_that_speaks_no_grpc() -> None:
    """A server that hangs up, or answers something else, is away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sender = GrpcSender(f"127.0.0.1:{listening.getsockname()[1]}")
        with futures.ThreadPoolExecutor(1) as pool:

            def answer() -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            pool.submit(answer)
            assert sender.send(Signal.TRACES, b"", 2.0).verdict is Verdict.AGAIN
        sender.close()


def test_a_receiver_that_comes_back() -> None:
    """A receiver's restart costs attempts, and nothing else."""
    first = Receiver()
    sender = GrpcSender(first.target)
    assert sender.send(Signal.TRACES, b"", 5.0).verdict is Verdict.TAKEN
    first.stop()
    answer = sender.send(Signal.TRACES, b"", 1.0)
    assert answer.verdict is Verdict.AGAIN
    assert answer.why.startswith("gRPC UNAVAILABLE")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([first])
    assert server.add_insecure_port(first.target)
    server.start()
    until(lambda: sender.send(Signal.TRACES, b"", 1.0).verdict is Verdict.TAKEN)
    sender.close()
    server.stop(0).wait()


def test_closing_and_going_on(receiver: Receiver, sender: GrpcSender) -> None:
    """A closed sender opens its channel anew; one that was abandoned, too, and the old channel is let be."""
    assert sender.send(Signal.TRACES, b"1", 5.0).verdict is Verdict.TAKEN
    sender.close()
    sender.close()
    assert sender.send(Signal.TRACES, b"2", 5.0).verdict is Verdict.TAKEN
    channel = sender._channel
    sender.abandon()
    sender.abandon()
    assert sender.send(Signal.TRACES, b"3", 5.0).verdict is Verdict.TAKEN
    assert [body for _, body in receiver.bodies] == [b"1", b"2", b"3"]
    assert exporter._abandoned[-1][0] is channel
    channel.close()


def test_a_header_that_no_metadata_can_carry(receiver: Receiver) -> None:
    """What grpc refuses to send is no exception in the export thread, and is not tried again."""
    sender = GrpcSender(receiver.target, headers={"a b": "c"})
    assert sender.send(Signal.TRACES, b"", 5.0) == Answer(Verdict.NEVER, "gRPC INTERNAL: Invalid metadata")
    sender.close()


def test_a_channel_that_someone_closed(receiver: Receiver, sender: GrpcSender) -> None:
    """A channel that is closed under us is replaced."""
    assert sender.send(Signal.TRACES, b"", 5.0).verdict is Verdict.TAKEN
    sender._channel.close()
    assert sender.send(Signal.TRACES, b"", 5.0).verdict is Verdict.AGAIN
    assert sender.send(Signal.TRACES, b"", 5.0).verdict is Verdict.TAKEN


def test_tls() -> None:
    """Certificates are checked against those that are given; who shows none is refused where one is asked for."""
    key, certificate = (TLS / "key.pem").read_bytes(), (TLS / "cert.pem").read_bytes()
    asking = grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True)
    receiver = Receiver(asking)
    files = {"certificate": str(TLS / "cert.pem")}
    both = {"client_certificate": str(TLS / "cert.pem"), "client_key": str(TLS / "key.pem")}
    for options, verdict in ((files | both, Verdict.TAKEN), (files, Verdict.AGAIN), (both, Verdict.AGAIN)):
        sender = GrpcSender(receiver.target, secure=True, **options)
        assert sender.send(Signal.TRACES, b"", 5.0).verdict is verdict
        sender.close()
    receiver.stop()


def test_a_certificate_that_is_not_there() -> None:
    """A file that cannot be read is said at once, by name."""
    with pytest.raises(ExportError, match=r"TLS cannot be set up from /nowhere\.pem"):
        GrpcSender("localhost:1", secure=True, certificate="/nowhere.pem")


def test_grpcio_is_not_installed() -> None:
    """Without grpcio the error says what to install; and importing the exporter does not import grpc."""
    script = """
        import sys
        import gnomon.export.grpc
        assert "grpc" not in sys.modules
        sys.modules["grpc"] = None
        from gnomon.errors import ExportError
        try:
            gnomon.export.grpc.GrpcSender("localhost:4317")
        except ExportError as error:
            assert "pip install gnomon[grpc]" in str(error), error
        else:
            raise SystemExit("it was built")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_a_forked_child_sends(receiver: Receiver) -> None:
    """A child forgets its parent's channel and opens its own; the parent's goes on."""
    script = """
        import os, sys
        from gnomon.export.grpc import GrpcSender
        from gnomon.export.outlet import Signal
        sender = GrpcSender(sys.argv[1])
        print(sender.send(Signal.TRACES, b"parent", 10.0).verdict.name, flush=True)
        child = os.fork()
        if not child:
            sender.abandon()
            answer = sender.send(Signal.TRACES, b"child", 10.0)
            print(answer.verdict.name, answer.why, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(sender.send(Signal.TRACES, b"again", 10.0).verdict.name, flush=True)
        sender.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), receiver.target]
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1"}
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["TAKEN"] * 3, done.stderr
    assert [body for _, body in receiver.bodies] == [b"parent", b"child", b"again"]


def test_our_own_calls_are_not_followed(seen: Seen, receiver: Receiver, sender: GrpcSender) -> None:
    """With the integration installed, exporting makes no client span, no count, and sends no trace along."""
    span = seen.tracers.get_tracer("test").start_span("work")
    with seen.tracers.get_tracer("test").start_as_current_span("outer"):
        assert sender.send(Signal.TRACES, b"", 5.0).verdict is Verdict.TAKEN
    span.end()
    assert "traceparent" not in receiver.metadata
    assert not seen.clients
    assert not seen.counted("rpc.client.duration")


def test_spans_reach_the_real_server(seen: Seen, gnomon: Server, blocking: Any) -> None:
    """Both spans of a call, encoded by us, sent over gRPC, are read by protobuf's classes and stored by Gnomon."""
    _, channel = blocking
    assert call(channel, "stream_stream", b"ok") == b"ok"
    server, client = seen.pair()
    batch = seen.outlet.take()
    assert batch is not None
    body = request(resource({"service.name": "cart-grpc"}), batch.groups)
    (described,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (scope,) = described.scope_spans
    assert scope.scope.name == "gnomon.integrations.grpc"
    kinds = {span.span_id: (span.kind, span.name) for span in scope.spans}
    assert kinds == {
        server.id: (2, "shop.Cart/stream_stream"),
        client.id: (SpanKind.CLIENT.value + 1, "shop.Cart/stream_stream"),
    }
    decoded = {pair.key: pair.value for span in scope.spans if span.kind == 2 for pair in span.attributes}
    assert decoded["rpc.grpc.status_code"].int_value == 0
    assert decoded["rpc.messages.received"].int_value == 2
    sender = GrpcSender(gnomon.otlp_grpc)
    assert sender.send(Signal.TRACES, body, 10.0) == Answer(Verdict.TAKEN)
    sender.close()
    query = "SELECT name FROM spans WHERE service = {service:String}"
    until(lambda: len(gnomon.sql(query, service="cart-grpc")) == 2)
