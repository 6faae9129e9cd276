"""A service under load, with budgets from absurd to generous."""

import logging
import os
import time
from typing import Any

import pytest
from tests.sdk.budget.conftest import Service

from gnomon.budget.meter import Meter, thread_cpu_s
from gnomon.budget.throttle import STEPS
from gnomon.config.units import Overhead
from gnomon.export.outlet import Reason
from gnomon.tracing.span import Span

ORIGINAL_END = Span.end


def records(outlet: Any) -> Any:
    """All that waits, taken out."""
    taken = []
    while batch := outlet.take():
        taken += [record for _, group in batch.groups for record in group]
    return taken


@pytest.mark.parametrize("service", ["1s", "100%"], indirect=True)
def test_a_small_budget_is_kept_by_thinning(service: Any, caplog: Any) -> None:
    """It steps down until the cost is near the limit; errors, audit lines and metrics lose nothing."""
    free = service.seconds(5, 80)[-1][0]
    limit = 0.7 * free
    per_request = service.budget.limit.request_s is not None
    service.budget.limit = Overhead(request_s=limit) if per_request else Overhead(cpu_ratio=limit)
    found = service.seconds(20, 80)
    assert service.budget.step is not STEPS[0]
    assert all(spent < limit for spent, _ in found[-5:])
    lines = records(service.lines)
    assert sum(b"refused" in line for line in lines) == sum(b"seen by" in line for line in lines) == 2000 / 50
    assert sum(b"stored" in line for line in lines) < service.served
    (orders,) = service.orders.points()
    assert orders.value == service.served == 2000
    duration = service.registry.get("http.server.request.duration")
    assert sum(sum(point.counts) for point in duration.points()) == service.served
    for outlet in (service.spans, service.lines):
        assert outlet.counts.dropped[Reason.OVER_BUDGET] > 0
        assert set(outlet.counts.dropped) == {Reason.OVER_BUDGET}
    assert "The overhead budget:" in caplog.text
    assert service.budget.health().state == 1
    assert "over budget" in service.budget.health().why


@pytest.mark.parametrize("limit", ["1s", "100%"])
def test_a_generous_budget_drops_nothing(limit: str, caplog: Any) -> None:
    """Everything is there, and nothing is said; costs are those of this thread's real clock."""
    service = Service(limit, time.thread_time_ns)
    service.seconds(5, 40)
    service.close()
    assert service.budget.step is STEPS[0]
    assert len(records(service.spans)) == 3 * 200
    assert len(records(service.lines)) == 200 * 2 + 2 * 4  # DEBUG is not logged by default
    assert service.spans.counts.dropped == service.lines.counts.dropped == {}
    assert service.budget.spent > 0
    assert service.budget.health().state == 0
    assert caplog.text == ""


@pytest.mark.parametrize("service", ["20us"], indirect=True)
def test_with_room_again_everything_comes_back_step_by_step(service: Any, caplog: Any) -> None:
    """The load goes, or the limit is raised; each step is said once."""
    caplog.set_level(logging.INFO)
    service.seconds(10, 40)
    stepped = service.budget.step
    assert stepped is not STEPS[0]
    service.budget.limit = type(service.budget.limit)(request_s=1.0)
    service.seconds(10 * STEPS.index(stepped) + 3, 1)
    assert service.budget.step is STEPS[0]
    before = dict(service.spans.counts.dropped)
    service.work(50)
    assert service.spans.counts.dropped == before
    assert service.tracers.recording.keep
    assert caplog.text.count(f"from now on {STEPS[0].name}") == 1


@pytest.mark.parametrize("service", ["0.1us"], indirect=True)
def test_what_cannot_be_kept_is_said_once(service: Any, caplog: Any) -> None:
    """Metrics and errors have a price of their own."""
    service.seconds(30, 200)
    assert service.budget.step is STEPS[-1]
    assert caplog.text.count("cannot be kept") == 1


@pytest.mark.parametrize(
    ("each_s", "push_s", "every"),
    [(0.001, 0.0, 1), (0.0002, 0.005, 15), (0.0002, 0.05, 60)],
    ids=["a thread that wakes", "metrics are pushed", "many metrics on a slow machine"],
)
@pytest.mark.parametrize("service", ["20us"], indirect=True)
def test_an_idle_service_is_not_thinned(service: Any, each_s: float, push_s: float, every: int) -> None:
    """One request a second cannot carry the price of a thread; what was let go under load comes back."""
    service.seconds(4, 200)
    assert service.budget.step is not STEPS[0]
    found = []
    for second in range(1, 241):
        service.threads[1] = service.threads.get(1, 0.0) + each_s + (0 if second % every else push_s)
        found += service.seconds(1, 1)
    steps = [STEPS.index(step) for _, step in found]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0


@pytest.mark.parametrize("service", ["1ms"], indirect=True)
def test_one_bad_second_is_no_reason(service: Any) -> None:
    """Something that costs more than ever, once, takes nothing away; twice in a row it does."""
    service.seconds(5, 80)
    service.threads[1] = 10.0
    service.seconds(1, 80)
    service.seconds(4, 80)
    assert service.budget.step is STEPS[0]
    for used_s in (20.0, 30.0):
        service.threads[1] = used_s
        service.seconds(1, 80)
    assert service.budget.step is STEPS[2]


@pytest.mark.parametrize("service", ["20us"], indirect=True)
def test_changed_settings_are_thinned_too(service: Any) -> None:
    """A reload sets another sampler; the step holds on."""
    from gnomon.logging.sampling import Sampling  # noqa: PLC0415 - here alone
    from gnomon.tracing.sampling import Ratio  # noqa: PLC0415 - likewise

    service.throttle.to(STEPS[-1])
    service.tracers.sampler, service.tracers.recording.keep = Ratio(0.5), True
    service.pipeline.resample(Sampling({"shop": 0.5}))
    service.throttle.to(service.throttle.step)
    service.work(100)
    assert records(service.spans) == []
    assert len(records(service.lines)) == 4
    dropped = service.lines.counts.dropped[Reason.OVER_BUDGET]
    assert 100 < dropped < 200  # all of the access lines, and of the others those that the settings would have kept


@pytest.mark.parametrize("service", [None], indirect=True)
def test_without_a_limit_nothing_happens(service: Any) -> None:
    """Ticks are free."""
    service.seconds(2, 10)
    assert service.budget.spent == 0
    assert service.budget.step is STEPS[0]


@pytest.mark.parametrize("service", ["1s"], indirect=True)
def test_kept_traces_keep_their_lines(service: Any) -> None:
    """Spans and lines are thinned by the same bits: no line without its trace, no trace without its lines."""
    service.throttle.to(STEPS[3])
    seen = []
    service.tracers.add_ended(lambda span: seen.append((span.trace, span.sampled)))
    service.work(400)
    kept = {trace for trace, sampled in seen if sampled}
    assert 50 < len(kept) < 150
    lines = [line for line in records(service.lines) if b"stored" in line]
    assert len(lines) == len(kept)
    assert all(any(trace in line for trace in kept) for line in lines)


def test_a_meter_counts_all_and_times_some() -> None:
    """Nested calls are not paid for twice, and closing puts the functions back."""
    ticks = iter(range(0, 10**9, 1000))

    class Shop:
        def outer(self) -> Any:
            return self.inner(two=3)

        def inner(self, one: Any = 1, *, two: Any = 2) -> Any:
            next(ticks)
            return one + two

    meter = Meter(lambda: next(ticks))
    original = Shop.outer, Shop.inner
    meter.meter(Shop, "outer", "outer")
    meter.meter(Shop, "inner", "inner")
    for _ in range(130):
        assert Shop().outer() == 4
    outer, inner = meter.cost("outer"), meter.cost("inner")
    assert (outer.calls, inner.calls, outer.timed) == (130, 130, 2)
    assert inner.mean_s == pytest.approx(1e-6)
    assert outer.mean_s < 4e-6
    meter.close()
    assert (Shop.outer, Shop.inner) == original


def test_nothing_is_metered_when_nobody_asked() -> None:
    """The hot path of a process without a budget is as it was."""
    assert Span.end is ORIGINAL_END


def test_our_threads_are_told_by_the_system() -> None:
    """By name; one that ended is no mistake."""
    import threading  # noqa: PLC0415 - here alone

    done, ready = threading.Event(), threading.Event()

    def burn() -> None:
        sum(range(300_000))
        ready.set()
        done.wait()

    thread = threading.Thread(target=burn, name="gnomon-test")
    thread.start()
    ready.wait()
    assert thread_cpu_s()[thread.native_id] > 0
    done.set()
    thread.join()
    assert thread.native_id not in thread_cpu_s()


@pytest.mark.parametrize("service", ["1s"], indirect=True)
def test_a_forked_child_counts_its_own(service: Any) -> None:
    """What the parent's threads and requests have cost since its last look is not the child's."""
    service.seconds(2, 80)
    service.threads[1] = 1.0
    service.work(80)
    assert service.budget._used_s() - service.budget._used > 1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        used_s = service.budget._used_s() - service.budget._used
        os.write(writing, b"%d" % (used_s == 0))
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 9) == b"1"
    os.close(reading)
