"""Which lines are kept."""

import itertools
import random
from typing import Any

import pytest

from gnomon.errors import LoggingError
from gnomon.export.outlet import Outlet, Signal
from gnomon.logging import LogCategory, StructuredLogger
from gnomon.logging.sampling import Sampling
from gnomon.tracing.provider import TracerProvider


def test_a_logger_before_a_category_before_a_level() -> None:
    """The nearest name counts; what must not be lost is always kept."""
    sampling = Sampling({"orders": 0.5, "orders.db": 0.25, "access": 0.1, "Info": 0.01})
    application = LogCategory.APPLICATION
    assert sampling.ratio("orders.db.pool", LogCategory.ACCESS, 20) == 0.25
    assert sampling.ratio("orders", application, 20) == 0.5
    assert sampling.ratio("other", LogCategory.ACCESS, 10) == 0.1
    assert sampling.ratio("other", application, 20) == 0.01
    assert sampling.ratio("other", application, 30) == 1.0
    kept = [(LogCategory.AUDIT, 20), (LogCategory.SECURITY, 20), (LogCategory.ACCESS, 40)]
    assert [sampling.ratio("orders", category, level) for category, level in kept] == [1.0] * 3


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_is_a_share(ratio: float) -> None:
    """Anything else is refused, with words."""
    with pytest.raises(LoggingError, match="Give a ratio from 0 to 1"):
        Sampling({"debug": ratio})


def test_kept_lines_say_for_how_many_they_stand(make: Any) -> None:
    """One of four is kept, and says so; errors are all kept, and say nothing."""
    chances = itertools.cycle((0.1, 0.3, 0.5, 0.9))
    seen = make(sampling=Sampling({"info": 0.25}, chance=lambda: next(chances)))
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    for _ in range(100):
        logger.info("often", at=1)
    logger.error("once")
    lines = seen.lines()
    assert [line["fields"] for line in lines] == [{"at": 1, "sample_rate": 0.25}] * 25 + [{}]
    assert [record["attributes"].get("sample_rate") for record in seen.records()] == [0.25] * 25 + [None]
    assert seen.pipeline.sampled_out == 75


def test_a_trace_is_kept_whole_or_not_at_all(make: Any) -> None:
    """By its id: also in another process, and by another logger of the same ratio."""
    seen = make(sampling=Sampling({"info": 0.25}), shows=None)
    loggers = [StructuredLogger(name, pipeline=seen.pipeline) for name in ("a", "b")]
    tracer = TracerProvider(Outlet(Signal.TRACES)).get_tracer("t")
    for _ in range(400):
        with tracer.start_as_current_span("s"):
            for logger in loggers:
                logger.info("one")
                logger.info("two")
    traces = [record["trace"] for record in seen.records()]
    assert {traces.count(trace) for trace in set(traces)} == {4}
    assert 50 < len(set(traces)) < 160  # 100 expected; 9 is its standard deviation


def test_the_share_of_traces_is_the_ratio() -> None:
    """Of ten thousand random ids, within five standard deviations; none at 0 and all at 1."""
    ids = [random.Random(7 + number).randbytes(16) for number in range(10_000)]
    sampling = Sampling({})
    assert sum(sampling.keeps(0.3, trace) for trace in ids) == pytest.approx(3000, abs=5 * 46)
    assert not any(sampling.keeps(0.0, trace) for trace in ids)
    assert all(sampling.keeps(1.0, trace) for trace in ids)


def test_sampling_can_be_changed(seen: Any) -> None:
    """For loggers that exist, from the next line on."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    logger.info("kept")
    seen.pipeline.resample(Sampling({"info": 0.0}))
    logger.info("not kept")
    assert [line["message"] for line in seen.lines()] == ["kept"]
