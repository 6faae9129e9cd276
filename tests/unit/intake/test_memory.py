"""What intake remembers, compared with dicts and sets."""

import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon_server.intake.memory import LastHistograms, LastPoints, RecentSpans, SeenRows, span_keys
from gnomon_server.intake.native_histograms import CELL, ROW, Histograms
from gnomon_server.model.index import Index, mixed

KEYS = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 2**64 - 1)), max_size=40)


def keys_of(numbers: list[int]) -> np.ndarray:
    """As intake has them."""
    return np.array(numbers, np.uint64)


@given(st.lists(KEYS, max_size=12), KEYS)
def test_an_index_is_a_dict_from_keys_to_the_order_of_adding(added: list[list[int]], asked: list[int]) -> None:
    """Whatever is added when."""
    there, slots = Index(), dict[int, int]()
    for numbers in added:
        new = [number for number in dict.fromkeys(numbers) if number not in slots]
        there.add(keys_of(new))
        slots |= {number: len(slots) + place for place, number in enumerate(new)}
        assert there.find(keys_of(asked)).tolist() == [slots.get(number, -1) for number in asked]
        assert len(there) == len(slots)


def test_an_index_is_read_while_it_grows() -> None:
    """What was there before is always found; what is being added has its slot or none."""
    there, keys = Index(), mixed(np.arange(200_000, dtype=np.uint64), 7)
    there.add(keys[:1000])
    wrong = list[str]()

    def read() -> None:
        while len(there) < len(keys):
            slots = there.find(keys)
            if (slots[:1000] != np.arange(1000)).any() or ((slots != np.arange(len(keys))) & (slots >= 0)).any():
                wrong.append("another's slot")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for first in range(1000, len(keys), 100):
        there.add(keys[first : first + 100])
    for reader in readers:
        reader.join()
    assert not wrong
    assert there.find(keys).tolist() == list(range(len(keys)))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 2**40))
def test_mixing_tells_second_numbers_apart_and_their_order(key: int, first: int, second: int) -> None:
    """Tenant 1 at time 2 is not tenant 2 at time 1."""
    one, two = (mixed(keys_of([key]), number)[0] for number in (first, second))
    assert (one == two) == (first == second)
    if first != second:
        assert mixed(mixed(keys_of([key]), first), second)[0] != mixed(mixed(keys_of([key]), second), first)[0]


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 50), st.floats(-10, 10)), max_size=8)


@given(st.lists(st.tuples(POINTS, st.lists(st.integers(0, 9), max_size=3)), max_size=10))
def test_last_points_are_the_newest_put_and_not_forgotten(
    steps: list[tuple[list[tuple[int, int, float]], list[int]]],
) -> None:
    """As a dict would have them; what is forgotten is unknown until it is put again."""
    points, model = LastPoints(), dict[int, tuple[int, float]]()
    for put, forgotten in steps:
        keys = keys_of([key for key, _, _ in put])
        before = dict(model)
        new = points.put(
            keys, np.array([at for _, at, _ in put], np.int64), np.array([v for _, _, v in put], np.float64)
        )
        for place, (key, at_ms, last) in enumerate(put):
            later = key not in model or at_ms > model[key][0]
            assert new[place] == (key in before and later)
            if later:
                model[key] = (at_ms, last)
        points.forget(keys_of(forgotten))
        for key in forgotten:
            model.pop(key, None)
        known, last_at, last_value = points.get(keys_of(list(range(10))))
        for key in range(10):
            assert known[key] == (key in model)
            if key in model:
                assert (last_at[key], last_value[key]) == model[key]


def test_last_points_are_emptied_between_groups_only() -> None:
    """Within a group what was known stays known, however many are put; the bound is kept before the next."""
    points = LastPoints(max_series=10)
    for first in (0, 20):
        points.put(keys_of(list(range(first, first + 20))), np.arange(20), np.ones(20))
    assert points.get(keys_of([0]))[0].all()
    points.keep_bound()
    assert not points.get(keys_of([0, 25]))[0].any()


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=30), max_size=8))
def test_recent_spans_never_say_no_of_what_two_generations_hold(groups: list[list[int]]) -> None:
    """A "yes" may be wrong, a "no" never, through a change of generation."""
    spans = RecentSpans(max_bytes=512)  # 8 blocks, 120 keys a generation
    recent: list[int] = []
    for group in groups:
        spans.add(keys_of(group))
        recent = [*recent, *group][-100:]
        assert spans.maybe(keys_of(recent)).all()


def test_few_new_spans_are_looked_up_for_nothing() -> None:
    """When a generation is full, about one of a thousand."""
    dice = np.random.default_rng(1)
    spans = RecentSpans(max_bytes=1 << 18)
    old = dice.integers(0, 2**64 - 1, spans._capacity, np.uint64)
    spans.add(old)
    assert spans.maybe(old).all()
    assert spans.maybe(dice.integers(0, 2**64 - 1, 50_000, np.uint64)).mean() < 0.003


@given(KEYS, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_seen_rows_are_seen_by_tenant_kind_and_day(numbers: list[int], days: list[int]) -> None:
    """And by nobody else's; past the bound all is forgotten, which costs a row and no more."""
    seen = SeenRows(max_rows=1_000)
    keys, on = keys_of(numbers), np.array(days[: len(numbers)], np.int32)
    assert seen.unseen("a", "series", keys, on).all()
    seen.add("a", "series", keys, on)
    assert not seen.unseen("a", "series", keys, on).any()
    assert seen.unseen("a", "series", keys, on + 10).all()
    assert seen.unseen("b", "series", keys, on).all()
    assert seen.unseen("a", "resource", keys, on).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), unique=True))
def test_spans_have_keys_of_their_own(ids: list[tuple[int, int, int, int]]) -> None:
    """Also where tracers give the root span the trace's id, or count."""
    halves = np.array([[high, low] for high, low, _, _ in ids], np.uint64).reshape(-1, 2)
    spans = np.array([[number] for _, _, number, _ in ids], np.uint64).reshape(-1, 1)
    tenants = np.array([tenant for *_, tenant in ids], np.uint32)
    assert len(np.unique(span_keys(halves.view(np.uint8), spans.view(np.uint8), tenants))) == len(ids)


def totals(*widths: int) -> Histograms:
    """Histograms told apart by their counts, of so many buckets."""
    rows = np.array([(0, 0.0, float(width), 0.5, width) for width in widths], ROW)
    cells = np.array([(place, float(width)) for width in widths for place in range(width)], CELL)
    return Histograms(rows, cells)


def test_totals_are_found_again_among_others_that_grow() -> None:
    """Each replaced many times by a wider one, some forgotten: what is read is what was written last."""
    memory, known = LastHistograms(), {}
    dice = np.random.default_rng(1)
    for round_ in range(1, 200):
        keys = dice.choice(50, 10, replace=False).astype(np.uint64)
        widths = dice.integers(0, 9, 10)
        memory.put(keys, np.full(10, round_), totals(*widths.tolist()))
        known |= dict(zip(keys.tolist(), widths.tolist(), strict=True))
        if round_ % 7 == 0:
            memory.forget(keys[:2])
            for key in keys[:2].tolist():
                del known[key]
    there, _ = memory.times(np.arange(60, dtype=np.uint64))
    assert np.flatnonzero(there).tolist() == sorted(known)
    found, expected = memory.get(np.array(sorted(known), np.uint64)), totals(*(known[key] for key in sorted(known)))
    assert (found.rows == expected.rows).all()
    assert (found.cells == expected.cells).all()
    nothing = memory.get(np.array([55, 3, 56], np.uint64))
    assert nothing.rows["width"].tolist() == [0, known.get(3, 0), 0]


def test_totals_are_forgotten_when_they_are_too_many() -> None:
    """Between groups; until then all are there."""
    memory = LastHistograms(max_bytes=10_000)
    keys = np.arange(100, dtype=np.uint64)
    memory.put(keys, np.ones(100, np.int64), totals(*[10] * 100))
    assert memory.times(keys)[0].all()
    memory.keep_bound()
    assert not memory.times(keys)[0].any()
