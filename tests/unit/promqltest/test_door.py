"""The door's columns as samples."""

import numpy as np
from tests.promqltest.answers import Result, Series
from tests.promqltest.door import of_answer
from tests.promqltest.histogram import Histogram
from tests.promqltest.language import Load, Point
from tests.promqltest.load import batch_of

from gnomon_server.query.promql.door import Answer
from gnomon_server.query.promql.histograms.block import Histograms, of_table
from gnomon_server.query.promql.values import NO_ROW, Grid, Labels, Samples, Scalar, String, Vector

A: Labels = (("__name__", "m"), ("a", "1"))
B: Labels = (("__name__", "m"), ("a", "2"))
FIRST = Histogram(1, 6, 2, 0.1, 1, {-1: 1, 2: 2}, {0: 2}, hint=3)
SECOND = Histogram(-53, 3, 2, positive={0: 1, 2: 2}, bounds=(5, 10))
GRID = Grid(1_000, 3_000, 1_000)


def _block() -> Histograms:
    """Both histograms as the store holds them."""
    load = Load({A: [Point(0, FIRST), Point(1, SECOND)]})
    return of_table(batch_of("t", [load]).tables["native_histograms"])


def test_scalars_and_strings() -> None:
    """A scalar of a range query is a series without labels."""
    answer = Answer(Scalar(np.array([1.0, 2.0, 3.0])), GRID, ["w"], ["i"])
    series = [Series((), [(1_000, 1.0), (2_000, 2.0), (3_000, 3.0)])]
    assert of_answer(answer, is_range=True) == Result("matrix", series, warnings=["w"], infos=["i"])
    instant = Answer(Scalar(np.array([1.0])), Grid(0, 0, 0))
    assert of_answer(instant, is_range=False) == Result("scalar", scalar=1.0)
    assert of_answer(Answer(String("a"), Grid(0, 0, 0)), is_range=False) == Result("string", text="a")


def test_a_vector_holds_floats_and_histograms() -> None:
    """Where no sample is there is none; a series without any is left out."""
    values = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    present = np.array([[True, False, True], [False, False, False]])
    rows = np.array([[NO_ROW, NO_ROW, 1], [0, 0, 0]])
    answer = Answer(Vector([A, B], values, present, rows, _block()), GRID)
    assert of_answer(answer, is_range=True) == Result("matrix", [Series(A, [(1_000, 1.0)], [(3_000, SECOND)])])


def test_a_range_vector_keeps_its_samples() -> None:
    """With their own times."""
    samples = Samples(
        [A, B],
        np.array([0, 2, 3]),
        np.array([5, 7, 6]),
        np.array([1.0, 0.0, 2.0]),
        np.array([NO_ROW, 0, NO_ROW]),
        _block(),
    )
    answer = Answer(samples, Grid(10, 10, 0))
    expected = [Series(A, [(5, 1.0)], [(7, FIRST)]), Series(B, [(6, 2.0)])]
    assert of_answer(answer, is_range=False) == Result("matrix", expected)
