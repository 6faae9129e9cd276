"""Series are looked up by digests of what names them."""

import numpy as np
import pytest

from gnomon_server.decode.remote_write.known import REFUSED, Definition, Keys, KnownSeries
from gnomon_server.decode.remote_write.siphash import digests

# The first of vectors_sip64 in the authors' reference: SipHash-2-4 of 0, 1, 2 ... bytes 00 01 02 ... under 00 .. 0f;
# the last is the paper's own example (appendix A).
VECTORS = {0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 2: "5a4fa9d909806c0d", 3: "2d7efbd796666785"}
VECTORS |= {15: "e545be4961ca29a1"}


def keys_of(*texts: bytes) -> Keys:
    """As stretches of one buffer."""
    ends = np.cumsum([len(text) for text in texts])
    return Keys(np.frombuffer(b"".join(texts), np.uint8), ends - [len(text) for text in texts], ends)


def test_the_digests_are_siphash() -> None:
    """The authors' own examples."""
    key, data = np.frombuffer(bytes(range(16)), np.uint64), np.frombuffer(bytes(range(64)), np.uint8)
    found = digests(data, np.zeros(len(VECTORS), np.int64), np.array(list(VECTORS)), key, (2, 4))
    assert [digest.tobytes().hex() for digest in found] == list(VECTORS.values())


def test_a_digest_is_of_all_bytes_and_the_secret() -> None:
    """Each byte of keys of any length counts, wherever they stand."""
    key = np.array([1, 2], np.uint64)
    texts = [bytes([7]) * length for length in range(40)]
    texts += [bytes(place) + b"\1" + bytes(30 - place) for place in range(31)]
    keys = keys_of(*texts)
    found = set(digests(keys.data, keys.starts, keys.ends, key).tolist())
    other = set(digests(keys.data, keys.starts, keys.ends, key + np.uint64(1)).tolist())
    assert len(found) == len(other) == len(texts)
    assert not found & other


@pytest.mark.parametrize("rounds", [1, 3])
def test_each_series_is_described_once(rounds: int) -> None:
    """Also past what the tables hold at first, and where one stands in a request twice."""
    known, described = KnownSeries(), list[int]()
    texts = [f"series {number % 5000}".encode() for number in range(5100)]

    def define(position: int) -> Definition:
        described.append(position)
        return Definition(position, 1, ("job", str(position % 3)), 0)

    for _ in range(rounds):
        slots = known.find(keys_of(*texts), define)
        assert slots.tolist() == [number % 5000 for number in range(5100)]
    assert described == list(range(5000))
    assert known.rows(slots)["id"].tolist() == slots.tolist()
    assert [known.sender(number) for number in range(3)] == [("job", "0"), ("job", "1"), ("job", "2")]


def test_what_is_refused_is_asked_for_each_time() -> None:
    """Each position by itself: the reason may be another."""
    known, asked = KnownSeries(), list[int]()

    def define(position: int) -> Definition | None:
        asked.append(position)
        return Definition(9, 1, ("", ""), 0) if position == 1 else None

    assert known.find(keys_of(b"", b"good", b""), define).tolist() == [REFUSED, 0, REFUSED]
    assert known.find(keys_of(b"", b"good", b""), define).tolist() == [REFUSED, 0, REFUSED]
    assert asked == [0, 1, 2, 0, 2]


def test_it_is_emptied_at_its_bound() -> None:
    """Between requests only."""
    known = KnownSeries(max_series=3)
    slots = known.find(keys_of(*(bytes([one]) for one in range(9))), lambda one: Definition(one, 0, ("", ""), 0))
    assert known.rows(slots)["id"].tolist() == list(range(9))
    known.keep_bound()
    assert known.find(keys_of(b"\0"), lambda _: None).tolist() == [REFUSED]
