"""What all instruments have in common: registration, label sets, and the cap on them."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from gnomon.errors import MetricsError
from gnomon.metrics.cells import Cell
from gnomon.metrics.registry import Registry, Signature, default_registry
from gnomon.metrics.said import say_once
from gnomon.wire.envelope import Scope
from gnomon.wire.metrics import OURS, Labels, Point

OVERFLOW: Labels = (("otel.metric.overflow", True),)
"""The label set of everything that came after the cap; shown as `other` in Prometheus."""
WORKERS = ("", "sum", "max", "min", "latest")

C = TypeVar("C", bound=Cell)


class Registered(type):
    """Calling a class of instruments asks a registry, which may have the instrument already."""

    def __call__(cls, name: str, *args: Any, registry: Registry | None = None, **kwargs: Any) -> Any:
        """The instrument; raises `MetricsError` if the name is taken or not allowed."""
        made = super().__call__(name, *args, **kwargs)
        return (registry or default_registry()).register(made)


class Instrument(metaclass=Registered):
    """What all instruments have in common.

    Args:
        name: dotted as OTel has it (`http.server.duration`) or as Prometheus (`http_requests_total`).
        description: one sentence, shown as HELP.
        labels: the names of its labels. None takes any, as OTel does.
        unit: UCUM (`s`, `By`, `{request}`), empty for none.
        cap: how many label sets it may have; the registry's if None. What comes later is counted together.
        workers: how the values of several worker processes become one: `sum`, `max`, `min`, `latest`. Empty adds
            counts up and shows gauges apart, with a label `worker`.
        scope: the library that measures.
        registry: where to register; the process's own if None.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        description: str = "",
        labels: Iterable[str] | None = None,
        *,
        unit: str = "",
        cap: int | None = None,
        workers: str = "",
        scope: Scope = OURS,
        registry: Registry | None = None,
    ) -> None:
        del registry
        if workers not in WORKERS:
            raise MetricsError(f"{name}: workers={workers!r} is unknown", hint=f"Use one of {', '.join(WORKERS[1:])}")
        self.name, self.description, self.unit, self.cap, self.scope = name, description, unit, cap, scope
        self.workers = workers
        self.label_names = None if labels is None else labels if isinstance(labels, str) else tuple(labels)

    @property
    def signature(self) -> Signature:
        """What must be equal for two instruments to be the same one."""
        return {"type": type(self).__name__, "labels": self.label_names, "unit": self.unit, "workers": self.workers}

    def points(self) -> Iterable[Point]:
        """The numbers as they stand."""
        raise NotImplementedError

    def reset(self) -> None:
        """Begin anew, in the child of a fork."""


class Direct(Instrument, Generic[C]):
    """Instruments that are told each measurement; each label set has a cell."""

    cell_class: ClassVar[type[Cell]]
    options: Any = None

    def __init__(self, name: str, description: str = "", labels: Iterable[str] | None = None, **settings: Any) -> None:
        super().__init__(name, description, labels, **settings)
        self._cells: dict[Any, C] = {}
        # How callers write a label set -> its cell. Flat, for the hashes of texts are known to the texts.
        self._written: dict[tuple[Any, ...], C] = {}
        self._most = 0
        self.overflowed = 0
        self.guilty = ""

    def labels(self, /, **labels: Any) -> C:
        """The cell of a label set. Keep it: it stays valid, also after a fork."""
        try:
            return self._written[*labels, *labels.values()]
        except (KeyError, TypeError):
            return self._find(labels)

    def cell(self, *values: Any) -> C:
        """The cell of the label values, in the order of the label names."""
        return self.labels(**dict(zip(self.label_names or (), values, strict=True)))

    def points(self) -> list[Point]:
        """The points of all cells that have something to say."""
        return [point for cell in list(self._cells.values()) if (point := cell.point()) is not None]

    @property
    def refused(self) -> int:
        """How many values were dropped because they were no measurements."""
        return sum(cell.refused for cell in list(self._cells.values()))

    def reset(self) -> None:
        """Begin at nothing; all cells stay valid."""
        now_ns = time.time_ns()
        self.overflowed = 0
        for cell in self._cells.values():
            cell.reset(now_ns)

    def limit(self, most: int) -> None:
        """The cap, told by the registry."""
        self._most = most

    def _find(self, written: Mapping[str, Any]) -> C:
        """The cell of labels that were not written in this way before."""
        labels = self._canonical(written)
        typed = _typed(labels)
        cell = self._cells.get(typed)
        if cell is None:
            if len(self._cells) >= self._most and labels:
                return self._overflow(labels)
            cell = self._cells.setdefault(typed, self._new(labels))
        if all(_repeats(value) for value in written.values()):
            if len(self._written) > 4 * self._most:  # the same labels in ever other orders; begin again
                self._written.clear()
            self._written[*written, *written.values()] = cell
        return cell

    def _new(self, labels: Labels) -> C:
        return self.cell_class(self.name, labels, self.options)  # type: ignore[return-value]

    def _canonical(self, written: Mapping[str, Any]) -> Labels:
        names = self.label_names
        if names is None:
            return tuple(sorted((name, storable(value)) for name, value in written.items()))
        if len(names) != len(written) or any(name not in written for name in names):
            say_once(f"labels {self.name}", f"{self.name} has the labels {names}, but was given {tuple(written)}")
        return tuple(sorted((name, _text(written.get(name, ""))) for name in names))

    def _overflow(self, labels: Labels) -> C:
        self.overflowed += 1
        if not self.guilty:
            self.guilty = self._most_varied(labels)
            say_once(
                f"cap {self.scope.name} {self.name}",
                f"{self.name} has reached {self._most} label sets; its label {self.guilty!r} has the most values. "
                "Further sets are counted together as 'other'. Leave that label out, or raise the cap",
            )
        return self._cells.setdefault(OVERFLOW, self._new(OVERFLOW))

    def _most_varied(self, labels: Labels) -> str:
        """The label with most values among the cells that there are: they are sample enough."""
        values: dict[str, set[Any]] = {name: set() for name, _ in labels}
        for cell in list(self._cells.values()):
            for name, value in cell.labels:
                values.setdefault(name, set()).add(value)
        return max(values, key=lambda name: len(values[name]))


def _typed(labels: Labels) -> Any:
    """A key that keeps True, 1 and 1.0 apart, which are equal to Python."""
    if all(value.__class__ is str or value.__class__ is int for _, value in labels):
        return labels
    return labels, tuple(value.__class__ for _, value in labels)


def _repeats(value: Any) -> bool:
    """Whether the value may be a key as it is: True and 1.0 would be found as 1."""
    return value.__class__ is str or (value.__class__ is int and value not in (0, 1))


def storable(value: Any) -> Any:
    """A label value that can be kept, compared and sent."""
    if value.__class__ in (str, bool, int, float):
        return value
    for plain_class in (int, float):  # HTTPStatus.OK is an int, numpy.float64 a float
        if isinstance(value, plain_class):
            return plain_class(value)
    if isinstance(value, list | tuple):
        return tuple(storable(item) for item in value)
    return _text(value)


def _text(value: Any) -> str:
    try:
        # A text's own letters, also where it is a member of an Enum that shows itself otherwise.
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - the host's own class must not break its host
        return f"<{type(value).__name__}>"
