"""The doctor's own span, log record and sample, and how they are sent: as an application would, on every way."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from gnomon_server.cli.wire import TIMEOUT_S, Answer, Letter, Target, ask, letter_of
from gnomon_server.decode.otlp.from_json import to_protobuf
from gnomon_server.intake.sources import DOCTOR

SIGNALS = ("traces", "logs", "metrics")
METRIC = "gnomon_doctor_probe"
_METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_MEDIA = {"protobuf": "application/x-protobuf", "JSON": "application/json"}
_INFO = 9


@dataclass(slots=True)
class Probe:
    """The records of one examination: all of one trace; samples are told by their value. `sent` counts by signal."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    value: float = field(default_factory=lambda: float(secrets.randbits(48)))
    sent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIGNALS, 0))

    def request(self, signal: str, way: str) -> dict[str, Any]:
        """One record that says which way it goes, as OTLP/JSON."""
        now = str(time.time_ns())
        attributes = [{"key": "gnomon.doctor.way", "value": {"stringValue": way}}]
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": DOCTOR}}]}
        match signal:
            case "traces":
                span = {
                    "traceId": self.trace_id, "spanId": secrets.token_hex(8), "name": f"doctor {way}", "kind": 1,
                    "startTimeUnixNano": now, "endTimeUnixNano": now, "attributes": attributes,
                }  # fmt: skip
                return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
            case "logs":
                record = {
                    "timeUnixNano": now, "severityNumber": _INFO, "body": {"stringValue": f"doctor {way}"},
                    "traceId": self.trace_id, "attributes": attributes,
                }  # fmt: skip
                return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}
            case _:
                point = {"timeUnixNano": now, "asDouble": self.value, "attributes": attributes}
                metric = {"name": METRIC, "gauge": {"dataPoints": [point]}}
                return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: `hop` is empty when acknowledged, else where it ended (a check's last word)."""

    signal: str
    encoding: str
    seconds: float
    hop: str = ""
    letter: Letter = field(default_factory=lambda: Letter("", ""))


def send_all(
    probe: Probe, target: Target, context: ssl.SSLContext | None, ca: Path | None, headers: dict[str, str]
) -> Iterator[Outcome]:
    """Every signal in every encoding that the listener takes; it ends with the first that a later one would repeat."""
    if target.name == "otlp-grpc":
        ways: list[tuple[str, str]] = [(signal, "protobuf") for signal in SIGNALS]
    else:
        ways = [(signal, encoding) for encoding in _MEDIA for signal in SIGNALS]
    for signal, encoding in ways:
        way = f"{target.name} {encoding}"
        body = json.dumps(probe.request(signal, way)).encode()
        if encoding == "protobuf":
            body = to_protobuf(body, signal)
        began = time.monotonic()
        if target.name == "otlp-grpc":
            answer = _send_grpc(target, signal, body, ca, headers)
        else:
            answer = _send_http(target, signal, body, _MEDIA[encoding], context, headers)
        outcome = Outcome(signal, encoding, time.monotonic() - began, *answer)
        probe.sent[signal] += not outcome.hop
        yield outcome
        if outcome.hop not in ("", "receive"):
            return


_NOTHING = Letter("", "")


def _send_http(
    target: Target, signal: str, body: bytes, media: str, context: ssl.SSLContext | None, headers: dict[str, str]
) -> tuple[str, Letter]:
    try:
        answer = ask(target, "POST", f"/v1/{signal}", context, body, {**headers, "Content-Type": media})
    except ssl.SSLError as error:
        return "tls", Letter("", str(error))
    except TimeoutError:
        return "commit", Letter("no_answer", f"no answer within {TIMEOUT_S:.0f} s")
    except http.client.HTTPException as error:
        return "protocol", Letter("", repr(error))
    except OSError as error:
        return "connect", Letter("", str(error))
    return _hop_of_http(answer, media)


def _hop_of_http(answer: Answer, media: str) -> tuple[str, Letter]:
    if answer.status == http.HTTPStatus.OK:
        told = answer.json().get("partialSuccess", {}).get("errorMessage", "")
        return _hop_of_partial(told if media == _MEDIA["JSON"] else _text_after(answer.body, b"\x12"))
    letter = answer.letter if media == _MEDIA["JSON"] else letter_of(_message_in(answer.body))
    if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return "authenticate", letter
    if answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return "queue", letter
    return ("commit" if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else "receive"), letter


def _hop_of_partial(told: str) -> tuple[str, Letter]:
    """Of a partial success: `1 x time_in_future: span start ...`; empty when all was taken."""
    if not told:
        return "", _NOTHING
    return "receive", Letter(told.partition(" x ")[2].partition(":")[0], told)


def _message_in(status: bytes) -> str:
    """The text in a `google.rpc.Status` (field 2), or in an answer that is JSON all the same."""
    if status[:1] == b"{":
        letter = Answer(0, status).letter
        return f"{letter.what} [{letter.code}]" + (f"\n  hint: {letter.hint}" if letter.hint else "")
    return _text_after(status, b"\x12").partition("\x1a")[0]


def _text_after(message: bytes, tag: bytes) -> str:
    """The text of the first field with this tag; its length, a varint, is skipped. Good for two answers of ours."""
    text = message.partition(tag)[2]
    while text and text[0] & 0x80:
        text = text[1:]
    return text[1:].decode("utf-8", "replace")


_GRPC_HOPS = {
    grpc.StatusCode.UNAUTHENTICATED: "authenticate",
    grpc.StatusCode.PERMISSION_DENIED: "authenticate",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "queue",
    grpc.StatusCode.UNAVAILABLE: "commit",
    grpc.StatusCode.DEADLINE_EXCEEDED: "commit",
    grpc.StatusCode.INTERNAL: "commit",
}


def _send_grpc(
    target: Target, signal: str, body: bytes, ca: Path | None, headers: dict[str, str]
) -> tuple[str, Letter]:
    metadata = [(name.lower(), value) for name, value in headers.items() if name != "User-Agent"]
    with closing(_channel(target, ca, headers["User-Agent"])) as channel:
        try:
            answer = channel.unary_unary(_METHODS[signal])(body, timeout=TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            letter = letter_of(error.details() or "")
            hop = _GRPC_HOPS.get(error.code(), "receive")
            if error.code() is grpc.StatusCode.UNAVAILABLE and not letter.code:
                hop = "tls" if target.tls else "connect"  # gRPC's own words: no answer of ours came
            return hop, letter
    return _hop_of_partial(_text_after(answer, b"\x12"))


def _channel(target: Target, ca: Path | None, agent: str) -> grpc.Channel:
    options = [("grpc.primary_user_agent", agent)]
    if not target.tls:
        return grpc.insecure_channel(str(target), options)
    return grpc.secure_channel(str(target), grpc.ssl_channel_credentials(ca.read_bytes() if ca else None), options)
