"""From settings to a sampler."""

from typing import TYPE_CHECKING

from gnomon.tracing.sampling import Adaptive, Always, Never, RateLimited, Ratio, Sampler

if TYPE_CHECKING:
    from gnomon.config.pillars import TraceSettings


def sampler(settings: "TraceSettings") -> tuple[Sampler, bool]:
    """The sampler, and whether a caller's decision goes before it."""
    if not settings.enabled:
        return Never(), False
    name, per_second = settings.sampler, settings.sampler_per_second
    decides = name.removeprefix("parentbased_")
    made: Sampler
    if decides == "always_off":
        made = Never()
    elif decides == "ratio":
        made = Ratio(settings.sampler_ratio)
    elif decides == "rate_limited":
        made = RateLimited(per_second)
    elif decides == "adaptive":
        made = Adaptive(per_second)
    else:
        made = Always()
    # The samplers that have no "parentbased" form of their own follow callers too: a trace is whole, or not there.
    return made, name.startswith("parentbased_") or decides in {"rate_limited", "adaptive"}
