"""Fixtures of the tests over real sockets."""

from collections.abc import Iterator

import pytest
from tests import prometheus_pair
from tests.prometheus_pair import Pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Our server and a Prometheus with the same series, of minutes ago: /federate shows no older ones."""
    with prometheus_pair.running(tmp_path_factory.mktemp("pair")) as both:
        yield both
