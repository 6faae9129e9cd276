"""The labels of a scraped series: the target's and its own joined, relabelled, held against the job's limits.

Source: Prometheus scrape/scrape.go (mutateSampleLabels, resolveConflictingExposedLabels, verifyLabelLimits).
"""

from gnomon_server.errors import InvalidInput
from gnomon_server.model.relabel import Relabeller
from gnomon_server.receive.scrape.settings import ScrapeConfig

_LONGEST_BYTES = 65_536  # of a name or a value where the job says nothing; far beyond any that is meant


class SampleLabels:
    """Exposed labels to stored ones, for one target."""

    def __init__(self, target: dict[str, str], config: ScrapeConfig, relabeller: Relabeller) -> None:
        self._target = target
        self._config = config
        self._relabeller = relabeller

    def __call__(self, exposed: dict[str, str]) -> dict[str, str] | None:
        """The stored labels, `__name__` among them; None where a rule drops the series. InvalidInput over a limit."""
        joined = self._honoured(exposed) if self._config.honor_labels else self._over(exposed)
        labels: dict[str, str] | None = {name: value for name, value in joined.items() if value}
        if labels and self._relabeller:
            labels = self._relabeller.apply(labels)
        if not labels:
            return None
        if "__name__" not in labels:
            raise InvalidInput("no_metric_name", "relabelling took a metric's name away", where=str(exposed)[:200])
        self._check(labels)
        return labels

    def _honoured(self, exposed: dict[str, str]) -> dict[str, str]:
        """The target's labels only where the series has none, not even an empty one."""
        return {**self._target, **exposed}

    def _over(self, exposed: dict[str, str]) -> dict[str, str]:
        """The target's labels over the series' own, which become `exported_...`; shorter names are moved first."""
        joined = {**exposed, **self._target}
        for name in sorted((name for name in self._target if exposed.get(name)), key=len):
            moved = f"exported_{name}"
            while joined.get(moved):
                moved = f"exported_{moved}"
            joined[moved] = exposed[name]
        return joined

    def _check(self, labels: dict[str, str]) -> None:
        config = self._config
        if config.label_limit and len(labels) > config.label_limit:
            raise _over_limit(labels, f"{len(labels)} labels, label_limit is {config.label_limit}")
        longest_name = config.label_name_length_limit or _LONGEST_BYTES
        longest_value = config.label_value_length_limit or _LONGEST_BYTES
        for name, value in labels.items():
            if len(name.encode()) > longest_name:
                raise _over_limit(labels, f"the label name {name[:50]!r} is longer than {longest_name} bytes")
            if len(value.encode()) > longest_value:
                raise _over_limit(labels, f"the value of the label {name[:50]!r} is longer than {longest_value} bytes")


def _over_limit(labels: dict[str, str], why: str) -> InvalidInput:
    return InvalidInput("label_limit", why, where=labels["__name__"][:200])
