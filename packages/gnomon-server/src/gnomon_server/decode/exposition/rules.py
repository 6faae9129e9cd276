"""What OpenMetrics demands beyond its grammar: families whole and together, histograms consistent, counters counting.

Source: https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md, sections "Overall Structure",
"MetricFamily" and "Metric Types", as client_python's parser holds them. All that hangs on names and labels is judged
once and kept, for layouts repeat; what hangs on values becomes arrays of positions, compared at every scrape.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gnomon_server.decode.exposition.exposition import NO_TIME
from gnomon_server.decode.exposition.grammar import decoded, labels_of, name_of
from gnomon_server.decode.exposition.metadata import STRICT
from gnomon_server.decode.exposition.series import SeriesTable
from gnomon_server.errors import InvalidInput

_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "histogram": ("_count", "_sum", "_bucket", "_created"),
    "gaugehistogram": ("_gcount", "_gsum", "_bucket"),
    "info": ("_info",),
}
_HISTOGRAMS = {"histogram", "gaugehistogram"}
_WITH_EXEMPLARS = {("counter", "_total"), ("histogram", "_bucket"), ("gaugehistogram", "_bucket")}
_COUNTING = {"_total", "_sum", "_count", "_bucket", "_gcount"}

Group = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Family:
    name: str
    type: str = ""
    words: set[str] = field(default_factory=set)
    unit: str = ""
    allowed: tuple[str, ...] = ()
    groups: set[Group] = field(default_factory=set)
    group: Group | None = None
    point: "_Point | None" = None
    sampled: bool = False


@dataclass(slots=True)
class _Point:
    """One histogram at one time: the positions of its samples."""

    members: set[tuple[str, str]] = field(default_factory=set)
    bound: float | None = None
    buckets: list[int] = field(default_factory=list)
    negative: bool = False
    sum: int = -1
    count: int = -1


class Rules:
    """The rules for one layout: these series, in this order, with these comments between them."""

    def __init__(self, table: SeriesTable, slots: np.ndarray, places: list[int], comments: list[bytes]) -> None:
        self._table, self._slots, self._places, self._comments = table, slots, places, comments
        self._generation = table.generation
        self._taken: set[str] = set()
        self._exemplars: set[int] = set()
        self._pairs: dict[str, list[tuple[int, int]]] = {
            "rising": [],
            "equal": [],
            "grouped": [],
            "grouped_info": [],
            "together": [],
        }
        self._places_of: dict[str, list[int]] = {
            "no_nan": [], "not_negative": [], "whole": [], "one": [], "zero_or_one": []
        }  # fmt: skip
        self._family = _Family("")
        self._broken: InvalidInput | None = None
        try:
            self._compile()
        except InvalidInput as error:
            self._broken = error
        self._at = {name: np.array(found, np.int64) for name, found in self._places_of.items()}
        self._both = {name: np.array(found, np.int64).reshape(-1, 2) for name, found in self._pairs.items()}

    def fit(self, table: SeriesTable, slots: np.ndarray, places: list[int], comments: list[bytes]) -> bool:
        """Whether a scrape has this very layout."""
        return (
            self._generation == table.generation
            and np.array_equal(self._slots, slots)
            and self._places == places
            and self._comments == comments
        )

    def broken(self, values: np.ndarray, times: np.ndarray, exemplars: Iterable[int]) -> InvalidInput | None:
        """The first rule that is broken, with the offender's name; None: none is.

        Args:
            values: float64[n].
            times: int64[n], ms or NO_TIME.
            exemplars: the positions of samples that have one.
        """
        if self._broken is None:
            try:
                self._check(values, times)
                for position in exemplars:
                    self._check_exemplar(position)
            except InvalidInput as error:
                return error
        return self._broken

    def _check(self, values: np.ndarray, times: np.ndarray) -> None:
        at, both = self._at, self._both
        whole, binary = values[at["whole"]], values[at["zero_or_one"]]
        self._refuse(at["no_nan"], np.isnan(values[at["no_nan"]]), "is a count or a sum and cannot be NaN")
        self._refuse(at["not_negative"], values[at["not_negative"]] < 0, "cannot be negative")
        self._refuse(at["whole"], (np.floor(whole) != whole) | np.isinf(whole), "counts and is a whole number")
        self._refuse(at["one"], values[at["one"]] != 1, "is an info and has the value 1")
        self._refuse(at["zero_or_one"], (binary != 0) & (binary != 1), "is a state and has the value 0 or 1")
        for name, wrong in (("rising", np.greater), ("equal", np.not_equal)):
            words = "is less than the bucket before it" if name == "rising" else "does not match the +Inf bucket"
            first, second = both[name][:, 0], both[name][:, 1]
            self._refuse(second, wrong(values[first], values[second]), words)
        if (times != NO_TIME).any():
            first, second = np.concatenate([both["grouped"], both["grouped_info"]]).T
            mixed = (times[first] == NO_TIME) != (times[second] == NO_TIME)
            self._refuse(second, mixed, "has a timestamp, or has none, other than the rest of its group")
            first, second = both["grouped"].T
            self._refuse(second, times[first] > times[second], "is older than the sample before it")
            first, second = both["together"].T
            self._refuse(second, times[first] != times[second], "has another timestamp than the rest of its histogram")

    def _check_exemplar(self, position: int) -> None:
        """Anywhere but on buckets and counters no exemplar may be."""
        if position not in self._exemplars:
            raise self._wrong(position, "can have no exemplar: only buckets and counters can")

    # -- once for a layout --------------------------------------------------------------------------------------------

    def _compile(self) -> None:
        for position, comment in self._walk():
            if comment is None:
                self._sample(position)
            else:
                self._metadata(comment)
        self._close()

    def _walk(self) -> Iterator[tuple[int, bytes | None]]:
        """Samples and comments in the order of the lines."""
        comments = iter(zip(self._places, self._comments, strict=True))
        place, comment = next(comments, (-1, b""))
        for position in range(len(self._slots) + 1):
            while place == position:
                yield position, comment
                place, comment = next(comments, (-1, b""))
            if position < len(self._slots):
                yield position, None

    def _metadata(self, line: bytes) -> None:
        match = STRICT.fullmatch(line)
        if match is None:
            raise InvalidInput("invalid_line", "expected # HELP, # TYPE or # UNIT", where=decoded(line)[:200])
        word, name, text = match[1].decode(), name_of(match[2]), decoded(match[3])
        if name != self._family.name or not self._family.words:
            self._open(name)
        family = self._family
        if family.sampled:
            raise InvalidInput("metadata_late", "metadata comes before the samples", where=decoded(line)[:200])
        if word in family.words:
            raise InvalidInput("metadata_twice", f"more than one {word} of {name}", where=decoded(line)[:200])
        family.words.add(word)
        if word == "TYPE":
            family.type = text
            family.allowed = tuple(name + suffix for suffix in _SUFFIXES.get(text, ("",)))
        elif word == "UNIT":
            family.unit = text

    def _open(self, name: str) -> None:
        self._close()
        self._family = _Family(name, allowed=(name,))

    def _close(self) -> None:
        family = self._family
        if not family.name:
            return
        for suffix in {*_SUFFIXES.get(family.type, ()), ""}:
            if family.name + suffix in self._taken:
                raise InvalidInput("clashing_name", f"{family.name}{suffix} belongs to two metric families")
            self._taken.add(family.name + suffix)
        if family.unit and not family.name.endswith("_" + family.unit):
            raise InvalidInput("invalid_unit", f"{family.name} does not end in its unit {family.unit!r}")
        if family.unit and family.type in {"info", "stateset"}:
            raise InvalidInput("invalid_unit", f"{family.name}: a metric of type {family.type} has no unit")
        self._end_point()

    def _sample(self, position: int) -> None:
        labels = labels_of(self._table.key(int(self._slots[position])))
        name = labels.pop("__name__")
        if name not in self._family.allowed:
            self._open(name)
        family = self._family
        family.sampled = True
        suffix = name[len(family.name) :]
        self._shape(position, suffix, labels)
        self._place(position, suffix, labels)
        if suffix in _COUNTING or suffix == "_gsum":
            self._places_of["no_nan"].append(position)
        if suffix in _COUNTING or (family.type == "summary" and not suffix):
            self._places_of["not_negative"].append(position)
        if suffix in {"_bucket", "_count", "_gcount"}:
            self._places_of["whole"].append(position)
        if family.type == "info":
            self._places_of["one"].append(position)
        if family.type == "stateset":
            self._places_of["zero_or_one"].append(position)
        if (family.type, suffix) in _WITH_EXEMPLARS:
            self._exemplars.add(position)

    def _shape(self, position: int, suffix: str, labels: dict[str, str]) -> None:
        """The label that the type demands."""
        family = self._family
        if family.type == "stateset" and family.name not in labels:
            raise self._wrong(position, f"is a state and needs the label {family.name}")
        if suffix == "_bucket" and not _is_canonical(labels.get("le", "")):
            raise self._wrong(position, "is a bucket and needs a label `le` with a number")
        quantile = labels.get("quantile", "")
        if family.type == "summary" and not suffix and not (_is_canonical(quantile) and 0 <= float(quantile) <= 1):
            raise self._wrong(position, "is a quantile and needs a label `quantile` from 0 to 1")

    def _place(self, position: int, suffix: str, labels: dict[str, str]) -> None:
        """In its group, whose samples stand together, and in its histogram."""
        family = self._family
        own = {"stateset": family.name, "summary": "quantile"}.get(family.type, "") if not suffix else ""
        own = "le" if suffix == "_bucket" else own
        group = () if family.type == "info" else tuple(sorted(item for item in labels.items() if item[0] != own))
        if family.group == group:
            self._pairs["grouped_info" if family.type == "info" else "grouped"].append((position - 1, position))
        elif group in family.groups:
            raise self._wrong(position, "stands apart from its group")
        else:
            self._end_point()
        family.group = group
        family.groups.add(group)
        if family.type in _HISTOGRAMS and suffix:
            self._histogram(position, suffix, labels.get("le", ""))

    def _histogram(self, position: int, suffix: str, le: str) -> None:
        family = self._family
        if family.point is not None and (suffix, le) in family.point.members:
            self._end_point()  # the same histogram at another time
        if family.point is None:
            family.point = _Point()
        else:
            self._pairs["together"].append((position - 1, position))
        point = family.point
        point.members.add((suffix, le))
        if suffix == "_bucket":
            bound = float(le)
            if point.bound is not None and bound <= point.bound:
                raise self._wrong(position, "stands behind a bucket with a higher bound")
            if point.buckets:
                self._pairs["rising"].append((point.buckets[-1], position))
            point.bound, point.negative = bound, point.negative or bound < 0
            point.buckets.append(position)
        elif suffix in {"_count", "_gcount"}:
            point.count = position
        elif suffix in {"_sum", "_gsum"}:
            point.sum = position

    def _end_point(self) -> None:
        family, point = self._family, self._family.point
        family.point = None
        if point is None:
            return
        if point.bound != float("inf"):
            raise InvalidInput("invalid_histogram", f"{family.name} has no +Inf bucket")
        if (point.sum < 0) != (point.count < 0):
            raise InvalidInput("invalid_histogram", f"{family.name} has a sum without a count or a count without a sum")
        if point.count >= 0:
            self._pairs["equal"].append((point.buckets[-1], point.count))
        if point.sum >= 0 and family.type == "histogram" and point.negative:
            raise InvalidInput("invalid_histogram", f"{family.name} has negative buckets and so can have no sum")
        if point.sum >= 0 and family.type == "gaugehistogram" and not point.negative:
            self._places_of["not_negative"].append(point.sum)

    def _refuse(self, positions: np.ndarray, wrong: np.ndarray, words: str) -> None:
        if wrong.any():
            raise self._wrong(int(positions[np.argmax(wrong)]), words)

    def _wrong(self, position: int, words: str) -> InvalidInput:
        labels = labels_of(self._table.key(int(self._slots[position])))
        name = labels.pop("__name__")
        inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return InvalidInput("openmetrics_rule", f"{name}{{{inside}}} {words}"[:500])


def _is_canonical(text: str) -> bool:
    """Whether it is a number, and infinity if so written as `+Inf`."""
    try:
        number = float(text)
    except ValueError:
        return False
    return not np.isnan(number) and (number != float("inf") or text == "+Inf")
