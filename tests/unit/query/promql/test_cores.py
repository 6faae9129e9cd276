"""Parts of a question on several cores: in order, each once, and an error of one ends all."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from gnomon_server.query.promql.cores import Cores


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_part_is_done_once_and_in_its_place(count: int) -> None:
    """Also where there are more cores than parts, and none at all."""
    cores, seen = Cores(count), Counter[int]()

    def work(part: int) -> int:
        seen[part] += 1
        time.sleep(0.001 * (part % 3))
        return part * part

    for parts in (range(0), range(1), range(2), range(50)):
        seen.clear()
        assert cores.map(work, parts) == [part * part for part in parts]
        assert seen == Counter(parts)
    cores.close()


def test_others_help() -> None:
    """Two parts that wait for each other end."""
    cores, both = Cores(2), threading.Barrier(2, timeout=10)
    cores.map(lambda _: both.wait(), range(2))
    cores.close()


def test_who_asks_does_it_alone_while_the_others_are_busy() -> None:
    """A query never waits for another's parts."""
    cores, begun, free = Cores(2), threading.Event(), threading.Event()

    def held(_: int) -> None:
        begun.set()
        free.wait(10)

    heavy = threading.Thread(target=cores.map, args=(held, range(2)))
    heavy.start()
    begun.wait(10)
    try:
        assert cores.map(lambda part: part, range(10)) == list(range(10))
        assert heavy.is_alive()
    finally:
        free.set()
        heavy.join()
        cores.close()


@pytest.mark.parametrize("wrong", [0, 7])
def test_the_first_error_ends_it(wrong: int) -> None:
    """What is left is not begun."""
    cores, done = Cores(2), list[int]()

    def work(part: int) -> None:
        if part == wrong:
            raise ValueError(f"part {part}")
        time.sleep(0.005)
        done.append(part)

    with pytest.raises(ValueError, match=f"part {wrong}"):
        cores.map(work, range(1000))
    assert len(done) <= wrong + 2
    cores.close()


def test_infinities_are_no_warnings_in_any_thread(recwarn: pytest.WarningsRecorder) -> None:
    """As in the queries' own threads, where NaN and infinities are answers."""
    cores, both = Cores(2), threading.Barrier(2, timeout=10)

    def work(_: int) -> np.ndarray:
        both.wait()
        found: np.ndarray = np.ones(3) / np.zeros(3)
        return found

    assert all(np.isinf(part).all() for part in cores.map(work, range(2)))
    assert not list(recwarn)
    cores.close()
