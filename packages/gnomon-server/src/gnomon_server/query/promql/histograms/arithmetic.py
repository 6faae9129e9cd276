"""Arithmetic with native histograms, row by row.

As Add, Sub, Mul and Div of model/histogram/float_histogram.go.
"""

from dataclasses import replace

import numpy as np

from gnomon_server.query.promql.histograms.block import GAUGE, Histograms, begins_of, concatenate
from gnomon_server.query.promql.histograms.layouts import common_layouts, places_in
from gnomon_server.query.promql.histograms.totals import Notes, combine, sum_by


def add(one: Histograms, other: Histograms) -> tuple[Histograms, Notes]:
    """The sum of each of one and the same of the other."""
    return sum_by(concatenate([one, other]), np.tile(np.arange(len(one)), 2), len(one))


def subtract(one: Histograms, other: Histograms) -> tuple[Histograms, Notes]:
    """The difference of each of one and the same of the other: a gauge, as PromQL's `-` makes it."""
    signs = np.repeat([1.0, -1.0], len(one))
    difference, notes = combine(concatenate([one, other]), np.tile(np.arange(len(one)), 2), len(one), signs)
    return difference.as_gauges(), notes


def multiply(block: Histograms, factor: np.ndarray) -> Histograms:
    """Each times its factor, float64[n]; a negative one makes a gauge of it."""
    with np.errstate(invalid="ignore", over="ignore"):
        return replace(
            block,
            hint=np.where(factor < 0, GAUGE, block.hint).astype(np.uint8),
            count=block.count * factor,
            sum=block.sum * factor,
            zero_count=block.zero_count * factor,
            counts=block.counts * np.repeat(factor, block.widths),
        ).compact()


def divide(block: Histograms, divisor: np.ndarray) -> Histograms:
    """Each by its divisor, float64[n]; a negative one makes a gauge of it, 0 takes away the buckets."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        cells = block.counts / np.repeat(divisor, block.widths)
        cells[np.repeat(divisor == 0, block.widths)] = 0.0
        return replace(
            block,
            hint=np.where(divisor < 0, GAUGE, block.hint).astype(np.uint8),
            count=block.count / divisor,
            sum=block.sum / divisor,
            zero_count=block.zero_count / divisor,
            counts=cells,
        ).compact()


def negated(block: Histograms) -> Histograms:
    """Unary minus."""
    return multiply(block, np.full(len(block), -1.0))


def reduced(block: Histograms, schema: np.ndarray) -> Histograms:
    """With a resolution no finer than this, int8[n]; custom buckets stay as they are."""
    every = np.arange(len(block))
    layouts = common_layouts(block, every, len(block))
    layouts = replace(layouts, schema=np.where(block.custom, block.schema, np.minimum(block.schema, schema)))
    place = places_in(block, every, layouts)
    owner = block.owner
    first = np.concatenate([[True], (np.diff(owner) != 0) | (np.diff(place) != 0)])[: len(place)]
    at = np.flatnonzero(first)
    return replace(
        block,
        schema=layouts.schema.astype(np.int8),
        begins=begins_of(np.bincount(owner[at], minlength=len(block))),
        place=place[at],
        counts=np.add.reduceat(block.counts, at) if len(at) else block.counts,
    ).compact()
