"""Samplers: how many are kept, who decides, what is counted; and what is kept against the sampler's word."""

import random

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from tests.sdk.tracing.traces import Traces, Turned

from gnomon.config.pillars import TraceSettings
from gnomon.context import Context
from gnomon.errors import TracingError
from gnomon.tracing.choice import sampler
from gnomon.tracing.provider import Remote
from gnomon.tracing.sampling import Adaptive, Always, Never, RateLimited, Ratio
from gnomon.tracing.span import MOST_HELD

RANDOM = random.Random(7)


def traced(number: int) -> list[bytes]:
    """Trace ids."""
    return [RANDOM.randbytes(16) for _ in range(number)]


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.01])
def test_a_share(ratio: float) -> None:
    """Of 10,000 traces at 10 % 1,000 are kept, give or take a hundred."""
    decide = Ratio(ratio).decide
    kept = sum(decide(trace).sampled for trace in traced(10_000))
    assert abs(kept - 10_000 * ratio) <= 100 + 10_000 * ratio * 0.05


@pytest.mark.parametrize(
    ("ratio", "state"),
    [(0.25, "ot=th:c"), (0.5, "ot=th:8"), (0.75, "ot=th:4"), (0.0625, "ot=th:f"), (1, ""), (0, "")],
)
def test_thresholds_of_the_specification(ratio: float, state: str) -> None:
    """The specification's examples of rejection thresholds; no threshold where there is nothing to count up."""
    assert Ratio(ratio).decide(b"\xff" * 16).state == state


def test_the_specifications_randomness() -> None:
    """The last 56 bits are compared with the threshold: at it a trace is kept, below it not."""
    decide = Ratio(0.25).decide
    assert decide(bytes(9) + bytes.fromhex("c0000000000000")).sampled
    assert not decide(b"\xff" * 9 + bytes.fromhex("bfffffffffffff")).sampled


def test_shares_are_nested() -> None:
    """What is kept at 10 % is kept at 50 % too, so that two services keep whole traces."""
    few, many = Ratio(0.1).decide, Ratio(0.5).decide
    assert all(many(trace).sampled for trace in traced(2000) if few(trace).sampled)


@pytest.mark.parametrize("make", [lambda: Ratio(1.1), lambda: Ratio(-1), lambda: RateLimited(0), lambda: Adaptive(-1)])
def test_refused(make: object) -> None:
    """A number that is none is told when it is set."""
    with pytest.raises(TracingError):
        make()  # type: ignore[operator]


def test_a_rate_limit() -> None:
    """5 a second under 500 a second: 5 a second, and a second's worth at first."""
    clock = Turned()
    limited = RateLimited(5, clock)
    kept = []
    for _ in range(20):
        kept.append(sum(limited.decide(b"").sampled for _ in range(500)))
        clock.now_s += 1
    assert kept == [5] * 20
    clock.now_s += 3600
    assert sum(limited.decide(b"").sampled for _ in range(500)) == 5


def test_a_limit_below_one_a_second() -> None:
    """One trace in ten seconds."""
    clock = Turned()
    limited = RateLimited(0.1, clock)
    kept = 0
    for _ in range(1000):
        kept += limited.decide(b"").sampled
        clock.now_s += 0.1
    assert 10 <= kept <= 11


def test_adaptive_holds_its_target_while_load_grows_tenfold() -> None:
    """100 a second are kept at 500 and at 5,000 a second, and of a fair share of every second."""
    clock = Turned()
    adaptive = Adaptive(100, clock)

    def second(load: int) -> int:
        kept = 0
        for trace in traced(load):
            kept += adaptive.decide(trace).sampled
            clock.now_s += 1 / load
        return kept

    assert adaptive.ratio == 1
    slow = [second(500) for _ in range(10)]
    risen = [second(5000) for _ in range(10)]
    fallen = [second(50) for _ in range(5)]
    assert abs(sum(slow[2:]) / 8 - 100) < 25
    assert risen[0] < 700  # the moment of the change
    assert abs(sum(risen[2:]) / 8 - 100) < 25
    assert fallen[-1] == 50


def test_a_burst_does_not_pass_whole() -> None:
    """10,000 at one moment: adaptive does not wait for its second to be over."""
    adaptive = Adaptive(10, Turned())
    assert sum(adaptive.decide(trace).sampled for trace in traced(10_000)) < 300


@pytest.mark.parametrize(
    ("name", "made", "follows"),
    [
        ("always_on", Always, False), ("always_off", Never, False), ("ratio", Ratio, False),
        ("parentbased_always_on", Always, True), ("parentbased_always_off", Never, True),
        ("parentbased_ratio", Ratio, True), ("rate_limited", RateLimited, True), ("adaptive", Adaptive, True),
    ],
)  # fmt: skip
def test_by_name(name: str, made: type, follows: bool) -> None:
    """The settings' names."""
    found, parent_based = sampler(TraceSettings(sampler=name, sampler_ratio=0.3))
    assert type(found) is made
    assert parent_based is follows
    found, parent_based = sampler(TraceSettings(sampler=name, enabled=False))
    assert type(found) is Never
    assert not parent_based


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_children_never_contradict(ratio: float) -> None:
    """Whoever samples: a trace is there with all its spans, or not at all; its children's headers say the same."""
    traces = Traces(sampler=Ratio(ratio), parent_based=False)
    for _ in range(100):
        with traces.tracer.start_as_current_span("root") as root, traces.tracer.start_as_current_span("child") as child:
            assert child.sampled == root.sampled == child.get_span_context().trace_flags.sampled
            traces.tracer.start_span("leaf").end()
    found: dict[bytes, list[str]] = {}
    for span in traces.spans:
        found.setdefault(span.trace_id, []).append(span.name)
    assert all(sorted(names) == ["child", "leaf", "root"] for names in found.values())
    assert len(found) == {0.0: 0, 1.0: 100}.get(ratio, len(found))


@pytest.mark.parametrize("sampled", [True, False])
def test_a_callers_decision(sampled: bool) -> None:
    """Parent-based: the caller's decision goes before the sampler's; otherwise the sampler's goes first."""
    remote = Remote(b"t" * 16, b"s" * 8, sampled)
    for follows, inner, expected in ((True, Never(), sampled), (True, Always(), sampled), (False, Never(), False),
                                     (False, Always(), True)):  # fmt: skip
        traces = Traces(sampler=inner, parent_based=follows)
        span = traces.tracer.begin("x", SpanKind.SERVER, remote)
        assert span.sampled is expected
        span.end()
        assert len(traces.spans) == expected


@pytest.mark.parametrize("sampled", [True, False])
def test_another_providers_decision(sampled: bool) -> None:
    """A span of another provider in this process is not contradicted, parent-based or not."""
    described = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(int(sampled)))
    context = Kept.context(NonRecordingSpan(described))
    for inner in (Always(), Never()):
        assert Traces(sampler=inner, parent_based=False).tracer.start_span("x", context).sampled is sampled


def test_our_own_decision_replaces_the_callers_threshold() -> None:
    """Not parent-based: the trace state says our share, and other vendors' entries stay."""
    traces = Traces(sampler=Ratio(0.5), parent_based=False)
    remote = Remote(b"\xff" * 16, b"s" * 8, sampled=True, state="ot=th:c,other=1")
    assert traces.tracer.begin("x", SpanKind.SERVER, remote).local.state == "ot=th:8,other=1"


class Kept(Traces):
    """Nothing is sampled, but errors and what is slower than a second is kept."""

    def __init__(self) -> None:
        super().__init__(sampler=Never())
        recording = self.provider.recording
        recording.keep = recording.keep_errors = True
        recording.slower_than_ns = 1_000_000_000

    def request(self, taken_ns: int = 1, failing: str = "", name: str = "root") -> None:
        """A root with two children below each other."""
        root = self.tracer.start_span(name, start_time=1)
        context = self.context(root)
        child = self.tracer.start_span("child", context)
        leaf = self.tracer.start_span("leaf", self.context(child))
        for span in (leaf, child):
            if span.name == failing:
                span.set_status(StatusCode.ERROR, "no")
            span.end()
        if failing == "root":
            root.set_status(StatusCode.ERROR, "no")
        root.end(1 + taken_ns)

    @staticmethod
    def context(span: object) -> Context:
        """With a span in it."""
        from gnomon.context import with_span  # noqa: PLC0415 - here alone

        return with_span(span, Context())


@pytest.mark.parametrize("failing", ["leaf", "child", "root"])
def test_a_trace_that_failed_is_kept_whole(failing: str) -> None:
    """Wherever the error is, all spans of the trace are there; the others are let go."""
    traces = Kept()
    for _ in range(20):
        traces.request()
    traces.request(failing=failing)
    assert sorted(traces.names) == ["child", "leaf", "root"]
    assert len({span.trace_id for span in traces.spans}) == 1
    assert all(span.flags & 1 == 0 for span in traces.spans)


def test_a_slow_trace_is_kept_whole() -> None:
    """From exactly the threshold on."""
    traces = Kept()
    traces.request(999_999_999)
    assert traces.names == []
    traces.request(1_000_000_000)
    assert sorted(traces.names) == ["child", "leaf", "root"]


def test_errors_alone() -> None:
    """Slow ones alone, or errors alone."""
    traces = Kept()
    traces.provider.recording.keep_errors = False
    traces.request(failing="leaf")
    assert traces.names == []
    traces.provider.recording.slower_than_ns = None
    traces.request(10**12)
    assert traces.names == []


def test_what_is_held_is_bounded_and_has_its_root() -> None:
    """A trace of thousands of spans keeps the first of them, and its root, without which the rest says little."""
    traces = Kept()
    with traces.tracer.start_as_current_span("root") as root:
        for _ in range(MOST_HELD + 500):
            traces.tracer.start_span("child").end()
        root.set_status(StatusCode.ERROR)
    assert traces.names.count("child") == MOST_HELD
    assert traces.names[-1] == "root"


def test_background_work_after_the_root() -> None:
    """What ends after its root is let go, without being held for ever."""
    traces = Kept()
    root = traces.tracer.start_span("root")
    late = traces.tracer.start_span("late", Kept.context(root))
    root.set_status(StatusCode.ERROR)
    root.end()
    late.end()
    assert traces.names == ["root"]


def test_a_remote_parent_has_a_local_root() -> None:
    """A server's span under an unsampled caller decides for what is below it."""
    traces = Kept()
    server = traces.tracer.begin("server", SpanKind.SERVER, Remote(b"t" * 16, b"s" * 8, sampled=False))
    traces.tracer.start_span("child", Kept.context(server)).end()
    server.set_status(StatusCode.ERROR)
    server.end()
    assert traces.names == ["child", "server"]
