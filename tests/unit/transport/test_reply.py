"""Errors as HTTP answers and gRPC statuses."""

import json

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from gnomon_server import errors
from gnomon_server.transport.reply import grpc_reply, http_reply, otlp_http_reply

RETRYABLE_BY_OTLP = {429, 502, 503, 504}
KINDS = [
    (errors.InvalidInput, 400, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.TooLarge, 413, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.Unauthenticated, 401, grpc.StatusCode.UNAUTHENTICATED),
    (errors.Forbidden, 403, grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotFound, 404, grpc.StatusCode.NOT_FOUND),
    (errors.Unsupported, 415, grpc.StatusCode.UNIMPLEMENTED),
    (errors.Overloaded, 429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable, 503, grpc.StatusCode.UNAVAILABLE),
    (errors.DeadlineExceeded, 504, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.Internal, 500, grpc.StatusCode.INTERNAL),
    (errors.GnomonError, 500, grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("kind", "status", "code"), KINDS)
def test_every_kind_has_its_numbers(kind: type[errors.GnomonError], status: int, code: grpc.StatusCode) -> None:
    """One table for both protocols; OTLP senders retry exactly what passes by itself."""
    error = kind("reason", "what", "where", "hint")
    reply = http_reply(error)
    assert (reply.status, grpc_reply(error).code) == (status, code)
    assert json.loads(reply.body) == error.to_dict()
    passes = isinstance(error, errors.RetryableError | errors.DeadlineExceeded)
    assert (reply.status in RETRYABLE_BY_OTLP) == passes


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1, "1"), (1.2, "2"), (30, "30")])
def test_retry_after_is_a_whole_number_of_seconds(seconds: float, header: str) -> None:
    """Rounded up, and never zero: "now" is what we were too busy for."""
    assert http_reply(errors.Overloaded("a", "b", retry_after_s=seconds)).headers["retry-after"] == header


def test_a_challenge_names_both_schemes() -> None:
    """401 without WWW-Authenticate is not HTTP."""
    assert http_reply(errors.Unauthenticated("a", "b")).headers["www-authenticate"] == (
        'Bearer realm="gnomon", Basic realm="gnomon"'
    )


@given(
    what=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
    seconds=st.floats(min_value=0, max_value=1e6),
)
def test_the_status_details_are_what_google_reads(what: str, seconds: float) -> None:
    """The hand-written google.rpc.Status parses with Google's own classes."""
    reply = grpc_reply(errors.Unavailable("store_away", what, retry_after_s=seconds))
    [(name, value)] = reply.metadata
    status = status_pb2.Status.FromString(value)
    retry_info = error_details_pb2.RetryInfo()
    assert name == "grpc-status-details-bin"
    assert (status.code, status.message) == (14, reply.details)
    assert status.details[0].Unpack(retry_info)
    assert retry_info.retry_delay.ToNanoseconds() == int(seconds * 1e9)


def test_what_never_passes_carries_no_retry_info() -> None:
    """Senders must not try the same bytes again."""
    assert grpc_reply(errors.TooLarge("a", "b")).metadata == ()


def test_otlp_answers_in_the_senders_own_media_type() -> None:
    """A protobuf sender gets a binary Status, a JSON sender a JSON one."""
    error = errors.Overloaded("queue_full", "the queue is full", retry_after_s=3)
    binary = otlp_http_reply(error, "application/x-protobuf; charset=x")
    text = otlp_http_reply(error, "application/json")
    assert status_pb2.Status.FromString(binary.body).code == 8
    assert json.loads(text.body) == {"code": 8, "message": "the queue is full [queue_full]"}
    assert binary.headers == {"content-type": "application/x-protobuf", "retry-after": "3"}
    assert (binary.status, text.status) == (429, 429)


def test_a_lone_surrogate_does_not_stop_the_answer() -> None:
    """Names of files and headers may hold what UTF-8 cannot."""
    error = errors.InvalidInput("a", "name \udc80")
    assert json.loads(http_reply(error).body)["error"]["what"] == "name \udc80"
    assert otlp_http_reply(error, "application/x-protobuf").body
