"""A label that takes ever new values, against a real server: only its new series are refused, and told why."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import otlp
from tests.otlp import PROTOBUF
from tests.remote_write import V1, compressed, content_type, request
from tests.server import Server

MOST = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With room for 20 series in a minute."""
    limits = ("--set", f"intake.new_series_per_minute={MOST}", "--set", "own_telemetry_s=0")
    made = Server(tmp_path, limits)
    made.start()
    yield made
    made.stop()


def write(server: Server, users: range, **more: str) -> tuple[int, str]:
    """Remote write of a sample of each user's series."""
    now_ms = time.time_ns() // 1_000_000
    series = [
        {"labels": {"__name__": "logins", "job": "shop", "user": str(user), **more}, "samples": [(1.0, now_ms)]}
        for user in users
    ]
    code, _, body = server.post(
        f"{server.api}/api/v1/write", compressed(request(V1, series)), content_type(V1), Content_Encoding="snappy"
    )
    return code, body.decode()


def stored(server: Server) -> int:
    """How many series have samples."""
    (row,) = server.sql("SELECT count(DISTINCT toString(labels)) AS series FROM metrics")
    return int(row["series"])


def test_remote_write_stores_the_rest_and_is_told_the_label(server: Server) -> None:
    """400, upon which a sender drops what was refused; series that are there go on; so they do after a restart."""
    assert write(server, range(MOST))[0] == 204
    code, words = write(server, range(MOST // 2, 2 * MOST))
    assert code == 400
    assert f"{MOST} x series_limit: more than {MOST} new series a minute" in words
    assert f"label 'user' has {MOST} values in {MOST} series" in words
    assert stored(server) == MOST
    server.stop()
    server.start()
    assert write(server, range(MOST))[0] == 204
    assert write(server, range(MOST), path="/new")[0] == 204
    assert stored(server) == 2 * MOST


def test_otlp_answers_partial_success(server: Server) -> None:
    """With the count of the points that were refused."""
    points = [{"as_int": 1, "attributes": otlp.pairs({"user": str(user)})} for user in range(MOST + 5)]
    body = otlp.gauge("carts", points).SerializeToString()
    code, _, answer = server.post(f"{server.otlp_http}/v1/metrics", body, PROTOBUF)
    assert code == 200
    said = otlp.RESPONSES["metrics"].FromString(answer)
    assert said.partial_success.rejected_data_points == 5
    assert "series_limit" in said.partial_success.error_message
    assert "'user'" in said.partial_success.error_message
    assert stored(server) == MOST
