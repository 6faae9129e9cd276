"""Answers of Prometheus' API are compressed for those who take them so; whole ones, streamed ones, no small ones."""

import gzip
import http.client
import urllib.parse

import pytest
from tests.server import Server

STEPS = {"start": "0", "end": "10999", "step": "1", "nocache": "1"}
MANY = " or ".join(f'label_replace(vector(1), "n", "{number}", "", "")' for number in range(90))
QUERIES = {"whole": "vector(1)", "streamed": MANY}


def _asked(server: Server, parameters: dict[str, str], accepted: str) -> tuple[http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.api.removeprefix("http://"))
    try:
        path = "/api/v1/query_range?" + urllib.parse.urlencode(parameters)
        connection.request("GET", path, headers={"Accept-Encoding": accepted})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", QUERIES)
def test_what_is_large_is_compressed(gnomon: Server, name: str) -> None:
    """For who says gzip, and the same then; for who refuses it, or says nothing of it, plain."""
    parameters = {"query": QUERIES[name], **STEPS}
    headers, plain = _asked(gnomon, parameters, "identity")
    assert (headers["content-encoding"], headers["vary"]) == (None, "Accept-Encoding")
    assert (headers["content-length"] is None) == (name == "streamed")
    assert plain.startswith(b'{"status":"success"')
    assert _asked(gnomon, parameters, "gzip;q=0, deflate")[1] == plain
    headers, packed = _asked(gnomon, parameters, "deflate, gzip;q=0.5")
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(packed) == plain
    assert len(packed) * 4 < len(plain)


def test_what_is_small_is_not(gnomon: Server) -> None:
    """A packet or two cost more than they save; an error neither."""
    headers, plain = _asked(gnomon, {"query": "vector(1)", **STEPS, "end": "10"}, "gzip")
    assert headers["content-encoding"] is None
    assert plain.startswith(b'{"status":"success"')
