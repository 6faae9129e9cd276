"""Native histograms as the HTTP API shows them.

Source: Prometheus util/jsonutil/marshal.go (`MarshalHistogram`): empty buckets are left out.
"""

from itertools import pairwise

import numpy as np

from gnomon_server.api.prometheus.numbers import floats
from gnomon_server.query.promql.histograms.block import Histograms
from gnomon_server.query.promql.histograms.buckets import boundary_rules, ordered


def histograms(block: Histograms) -> list[bytes]:
    """Each as a JSON object: `{"count":"3","sum":"6.5","buckets":[[0,"1","2","3"]]}`."""
    whole = [
        b'{"count":"' + count + b'","sum":"' + total + b'"'
        for count, total in zip(floats(block.count), floats(block.sum), strict=True)
    ]
    buckets = _buckets(block)
    return [
        head + (b',"buckets":[' + b",".join(mine) + b"]}" if mine else b"}")
        for head, mine in zip(whole, buckets, strict=True)
    ]


def _buckets(block: Histograms) -> list[list[bytes]]:
    every = ordered(block)
    rules = boundary_rules(block, every)
    filled = every.count != 0
    texts = [
        b'[%d,"%b","%b","%b"]' % each
        for each in zip(
            rules[filled].tolist(),
            floats(every.lower[filled]),
            floats(every.upper[filled]),
            floats(every.count[filled]),
            strict=True,
        )
    ]
    ends = np.cumsum(np.concatenate([[0], filled]))[every.begins].tolist()
    return [texts[start:end] for start, end in pairwise(ends)]
