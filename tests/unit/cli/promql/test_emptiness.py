"""Why an answer is empty, and how a refusal shows its place."""

import pytest

from gnomon_server.cli.promql.emptiness import explained
from gnomon_server.cli.promql.server import refusal

STORED = {
    ("__name__", ""): ["http_requests_total", "http_request_duration_seconds", "up"],
    ("job", '{"up"}'): ["shop", "bank"],
}


def _explained(query: str) -> list[str]:
    return list(explained(query, lambda label, selector: STORED.get((label, selector), [])))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("http_request_total", ["no metric http_request_total is known; near are: http_requests_total"]),
        ("rate(requests[5m])", ["no metric requests is known; near are: http_requests_total"]),
        ("nothing_like_it", ["no metric nothing_like_it is known"]),
        ('{"memory.used"} / up', ["no metric memory.used is known"]),
        ('up{job="shp"}', ['no series of up has job="shp"; near are: shop']),
        ('up{job="", instance!="x"}', ["its metrics are known"]),
        ("up > 1", ["its metrics are known"]),
        ('{job="shop"}', []),
        ("sum(", []),
    ],
)
def test_reasons(query: str, said: list[str]) -> None:
    """An unknown name or value with what is near; else that all is known, or nothing."""
    found = _explained(query)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_the_place_is_underlined() -> None:
    """In its line, as wide as the word."""
    assert refusal("up +\n  sun(up)", "2:3: parse error: unknown function") == (
        "2:3: parse error: unknown function\n    sun(up)\n    ^^^"
    )
    assert refusal("sum(up", "1:7: parse error: unclosed") == "1:7: parse error: unclosed\n  sum(up\n        ^"


@pytest.mark.parametrize("said", ["no place", "9:1: parse error: x", "1:99: parse error: x", "1:0: parse error: x"])
def test_places_that_are_none(said: str) -> None:
    """A server that counts otherwise does no harm."""
    assert refusal("up", said).startswith(said)
