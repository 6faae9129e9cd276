"""What is let go, and in which order: the least valuable first.

Never let go: errors and warnings, audit and security lines, metrics. From the second step on whole requests are let go,
by their trace id: those that are kept keep their spans and their lines, so that every story that is told is whole.
"""

from dataclasses import dataclass
from typing import Any

from gnomon.export.outlet import Counts, Reason
from gnomon.logging.categories import KEPT, LogCategory, LogLevel
from gnomon.logging.pipeline import Pipeline
from gnomon.logging.sampling import Sampling
from gnomon.tracing.provider import TracerProvider
from gnomon.tracing.sampling import Decision, Ratio, Sampler


@dataclass(frozen=True, slots=True)
class Step:
    """How much is kept.

    Attributes:
        name: in words.
        debug: share of DEBUG and TRACE lines.
        share: share of requests: of traces that begin here, and of INFO lines.
        failed: whether a request that fails keeps its trace also when it is let go: that costs as much as keeping it,
            but for sending it.
    """

    name: str
    debug: float = 1.0
    share: float = 1.0
    failed: bool = True


STEPS = (
    Step("everything is kept"),
    Step("DEBUG lines are thinned to 1 in 16", 1 / 16),
    Step("1 request in 2 keeps its spans and INFO lines, no DEBUG lines", 0, 1 / 2),
    Step("1 request in 4 keeps its spans and INFO lines", 0, 1 / 4),
    Step("1 request in 8 keeps its spans and INFO lines, failed ones keep their error lines", 0, 1 / 8, failed=False),
    Step("1 request in 16 keeps its spans and INFO lines", 0, 1 / 16, failed=False),
    Step("1 request in 64 keeps its spans and INFO lines", 0, 1 / 64, failed=False),
    Step("1 request in 256 keeps its spans and INFO lines", 0, 1 / 256, failed=False),
    Step("only errors, warnings, audit, security and metrics are kept", 0, 0, failed=False),
)


class Thinned:
    """A sampler whose traces are thinned, consistently: the traces kept at a share are among those of a larger one.

    Args:
        inner: decides first.
        counts: where what is let go is counted, one for a trace.
    """

    def __init__(self, inner: Sampler, counts: Counts) -> None:
        self.inner, self._counts, self._share = inner, counts, 1.0
        self._ratio, self._callers = Ratio(1.0), Ratio(1.0)

    def thin(self, share: float) -> None:
        """Keep this share from now on."""
        self._share = share

    def keeps(self, trace: bytes) -> bool:
        """Whether a trace that a caller has sampled is kept."""
        if self._share != self._callers.ratio:
            self._callers.set(self._share)
        kept = self._callers.decide(trace).sampled
        if not kept:
            self._counts.drop(1, Reason.OVER_BUDGET)
        return kept

    def decide(self, trace: bytes) -> Decision:
        """The inner decision, and with the share's probability a no."""
        decided = self.inner.decide(trace)
        if self._share >= 1 or not decided.sampled:
            return decided
        # The inner sampler may have gone by the same bits: what it left is thinned, not what there was before it.
        wanted = self._share * decided.ratio
        if wanted != self._ratio.ratio:
            self._ratio.set(wanted)
        thinned = self._ratio.decide(trace)
        if not thinned.sampled:
            self._counts.drop(1, Reason.OVER_BUDGET)
        return thinned


# In place of 0, so that a share still tells which one it was before.
_NEXT_TO_NOTHING = 1e-12


class ThinnedLines(Sampling):
    """Lines, thinned beyond what their settings ask for.

    Args:
        inner: the settings'.
        step: how much is kept.
        counts: where what is let go is counted.
    """

    __slots__ = ("_before", "_counts", "_inner", "_step")

    def __init__(self, inner: Sampling, step: Step, counts: Counts) -> None:
        super().__init__({})
        self._inner, self._step, self._counts = inner, step, counts
        self._before: dict[float, float] = {}

    def ratio(self, logger: str, category: LogCategory, level: int) -> float:
        """The share of such lines that is kept."""
        before = self._inner.ratio(logger, category, level)
        if level >= LogLevel.WARNING or category in KEPT:
            return before
        thinned = before * max(self._step.debug if level < LogLevel.INFO else self._step.share, _NEXT_TO_NOTHING)
        self._before[thinned] = before
        return thinned

    def keeps(self, ratio: float, trace: bytes | None) -> bool:
        """Whether a line is kept; those that the settings would have kept are counted."""
        before = self._before.get(ratio, ratio)
        if before == ratio or not self._inner.keeps(before, trace):
            return self._inner.keeps(ratio, trace)
        # Kept at the settings' share. By a trace id the smaller share is among the larger; by chance, a part of it.
        kept = self._inner.keeps(ratio if trace is not None else ratio / before, trace)
        if not kept:
            self._counts.drop(1, Reason.OVER_BUDGET)
        return kept


class Throttle:
    """Puts a step into effect.

    Args:
        tracers: whose sampler is thinned; None: there are no traces.
        pipeline: whose lines are thinned; None: there are none.
    """

    def __init__(self, tracers: TracerProvider | None, pipeline: Pipeline | None) -> None:
        self._tracers, self._pipeline = tracers, pipeline
        self._sampler: Thinned | None = None
        self._sampling: Sampling | None = None
        self._keep = False
        self.step = STEPS[0]

    def to(self, step: Step) -> None:
        """Keep what a step keeps from now on; also after settings have changed, which undoes it."""
        self.step = step
        if self._tracers is not None:
            self._thin_traces(self._tracers, step)
        if self._pipeline is not None:
            self._thin_lines(self._pipeline, step)

    def _thin_traces(self, tracers: TracerProvider, step: Step) -> None:
        sampler: Any = tracers.sampler
        if not isinstance(sampler, Thinned):  # the first time, or other settings
            self._sampler = tracers.sampler = Thinned(sampler, _counts(tracers))
            self._keep = tracers.recording.keep
        if self._sampler is not None:
            self._sampler.thin(step.share)
            # A caller's "sampled" is an offer: a service behind a gateway must be able to save, too.
            tracers.thin = self._sampler.keeps if step.share < 1 else None
        tracers.recording.keep = self._keep and step.failed

    def _thin_lines(self, pipeline: Pipeline, step: Step) -> None:
        if not isinstance(pipeline.sampling, ThinnedLines):
            self._sampling = pipeline.sampling
        if self._sampling is None:
            return
        if step is STEPS[0]:
            pipeline.resample(self._sampling)
        else:
            counts = pipeline.outlet.counts if pipeline.outlet is not None else Counts()
            pipeline.resample(ThinnedLines(self._sampling, step, counts))


def _counts(tracers: TracerProvider) -> Counts:
    return tracers.outlet.counts
