"""The text formats: 0.0.4 and 1.0, as leniently as Prometheus, and OpenMetrics 1.0 by its grammar.

What OpenMetrics demands beyond its grammar (`rules`) is judged and said, and costs nobody a scrape: Prometheus does not
look at it, so there are targets that nobody has told.

Scraped bodies repeat: what stands before the value is looked up in the target's SeriesTable, so a sample costs a split,
a look-up and a number. Lines that are not found so (new series, timestamps, exemplars, comments) are read by the
grammar. The look-up cannot be misled: only a whole series part is a key, and where one ends is decided by its first
bytes alone.
"""

from collections.abc import Callable, Iterable

import numpy as np

from gnomon_server.decode.exposition.exposition import LARGEST_MS, NO_TIME, Exemplar, Exposition, Family
from gnomon_server.decode.exposition.floats import normalised
from gnomon_server.decode.exposition.grammar import STRICT_REST, STRICT_SERIES, TEXT_REST, TEXT_SERIES, labels_of
from gnomon_server.decode.exposition.metadata import EOF, strict_families, text_families
from gnomon_server.decode.exposition.rules import Rules
from gnomon_server.decode.exposition.series import Parse, SeriesTable
from gnomon_server.errors import InvalidInput

_EXEMPLAR_CHARACTERS = 128  # OpenMetrics: names and values of an exemplar's labels together
_IN_NUMBERS = b"0123456789+-.eEinfatyINFATY "  # and so neither hexadecimal numbers nor underscores


def _of_bucket(series: bytes) -> dict[str, str]:
    return normalised(labels_of(series), "le")


def _of_quantile(series: bytes) -> dict[str, str]:
    return normalised(labels_of(series), "quantile")


# By the TYPE last said, as in Prometheus (promparse.go).
_PARSERS: dict[bytes, Parse] = {b"histogram": _of_bucket, b"summary": _of_quantile}


class TextReader:
    """Reads the bodies of one target. Remembers the last one's comments and layout, which rarely change."""

    def __init__(self, table: SeriesTable, *, strict: bool) -> None:
        self._table = table
        self._strict = strict
        self._comments: list[bytes] = []
        self._families: dict[str, Family] = {}
        self._rules: Rules | None = None

    def read(self, body: bytes) -> Exposition:
        """What the body says. InvalidInput, with the line, when it is not of this format."""
        lines = body.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        if self._strict:
            _check_end(lines)
        walk = _Walk(self._table, strict=self._strict)
        # A tab may stand for a space in the text format; what has one is read by the grammar.
        walk.lines(lines, tabs=not self._strict and b"\t" in body)
        if walk.comments != self._comments:
            read: Callable[[Iterable[bytes]], dict[str, Family]] = strict_families if self._strict else text_families
            self._families, self._comments = read(walk.comments), walk.comments
        values = _numbers([number for _, number in walk.samples], lines)
        slots = np.array([slot for slot, _ in walk.samples], np.int64)
        times = np.full(len(slots), NO_TIME)
        for position, time_ms in walk.times:
            times[position] = time_ms
        starts = np.zeros(len(slots), np.int64)
        found = Exposition(slots, values, times, starts, self._families, walk.exemplars)
        if self._strict:
            found.broken = self._rules_of(walk, slots).broken(values, times, [one.at for one in walk.exemplars])
        return found

    def _rules_of(self, walk: "_Walk", slots: np.ndarray) -> Rules:
        if self._rules is None or not self._rules.fit(self._table, slots, walk.places, walk.comments):
            self._rules = Rules(self._table, slots, walk.places, walk.comments)
        return self._rules


class _Walk:
    """One pass over the lines."""

    def __init__(self, table: SeriesTable, *, strict: bool) -> None:
        self._table = table
        self._strict = strict
        self._parse: Parse = labels_of
        self.samples: list[tuple[int, bytes]] = []
        self.times: list[tuple[int, int]] = []
        self.comments: list[bytes] = []
        self.places: list[int] = []  # before which sample each comment stands
        self.exemplars: list[Exemplar] = []

    def lines(self, lines: list[bytes], *, tabs: bool) -> None:
        find, add = self._table.slots.get, self.samples.append
        for line in lines:
            series, _, number = line.rpartition(b" ")
            slot = find(series)
            if slot is None or (tabs and b"\t" in number):
                self._other(line, series, number)
            else:
                add((slot, number))

    def _other(self, line: bytes, series: bytes, last: bytes) -> None:
        if line[:1] == b"#" or not line:
            if self._strict and not line:
                raise InvalidInput("invalid_line", "OpenMetrics has no blank lines")
            self.comments.append(line)
            self.places.append(len(self.samples))
            words = line.split()
            if words[1:2] == [b"TYPE"]:
                self._parse = _PARSERS.get(words[-1], labels_of)
            return
        # A timestamp behind the value is the commonest of the rest.
        known, _, number = series.rpartition(b" ")
        slot = self._table.slots.get(known) if number and last and b"\t" not in series[len(known) :] + last else None
        if slot is not None:
            self.times.append((len(self.samples), self._time(last, line)))
            self.samples.append((slot, number))
        elif self._strict:
            self._by_strict_grammar(line)
        else:
            self._by_grammar(line)

    def _by_grammar(self, line: bytes) -> None:
        line = line.lstrip(b" \t")
        if line[:1] in (b"#", b""):
            self._other(line, b"", b"")
            return
        series = TEXT_SERIES.match(line)
        rest = TEXT_REST.fullmatch(line, series.end()) if series and series[0] else None
        if series is None or rest is None:
            raise _invalid(line)
        if rest[2]:
            self.times.append((len(self.samples), self._time(rest[2], line)))
        self.samples.append((self._slot(series[0].rstrip(b" \t")), rest[1]))

    def _by_strict_grammar(self, line: bytes) -> None:
        series = STRICT_SERIES.match(line)
        rest = STRICT_REST.fullmatch(line, series.end()) if series and series[0] else None
        if series is None or rest is None:
            raise _invalid(line)
        position, slot = len(self.samples), self._slot(series[0])
        if rest[2]:
            self.times.append((position, self._time(rest[2], line)))
        self.samples.append((slot, rest[1]))
        if rest[3]:
            self.exemplars.append(self._exemplar(slot, position, (rest[3], rest[4], rest[5]), line))

    def _slot(self, series: bytes) -> int:
        slot = self._table.slots.get(series)
        return self._table.add(series, self._parse) if slot is None else slot

    def _exemplar(self, slot: int, position: int, parts: tuple[bytes, bytes, bytes | None], line: bytes) -> Exemplar:
        labels = labels_of(b"exemplar" + parts[0])
        del labels["__name__"]
        if sum(len(name) + len(value) for name, value in labels.items()) > _EXEMPLAR_CHARACTERS:
            raise InvalidInput("exemplar_too_long", "an exemplar's labels have 128 characters at most", _shown(line))
        time_ms = self._time(parts[2], line) if parts[2] else NO_TIME
        return Exemplar(slot, position, labels, float(_numbers([parts[1]], [line])[0]), time_ms)

    def _time(self, token: bytes, line: bytes) -> int:
        """Milliseconds; OpenMetrics writes seconds, with a fraction."""
        try:
            good = not token.translate(None, b"0123456789+-.eE")
            time_ms = int(float(token) * 1000) if self._strict else int(token)
        except (ValueError, OverflowError):
            good, time_ms = False, 0
        if not good:
            raise InvalidInput("invalid_timestamp", "a timestamp is a number", where=_shown(line))
        return max(-LARGEST_MS, min(time_ms, LARGEST_MS))


def _numbers(tokens: list[bytes], lines: list[bytes]) -> np.ndarray:
    """float64[n]. Values are what Go's ParseFloat takes, less hexadecimal numbers, as in Prometheus."""
    if not b" ".join(tokens).translate(None, _IN_NUMBERS):
        try:
            return np.array(list(map(float, tokens)), np.float64)
        except ValueError:
            pass  # the culprit is looked for below
    culprit = next(token for token in tokens if not _is_number(token))
    shown = next((line for line in lines if culprit and culprit in line), culprit)
    raise InvalidInput("invalid_value", "a value is a number", where=_shown(shown))


def _is_number(token: bytes) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return not token.translate(None, _IN_NUMBERS)


def _check_end(lines: list[bytes]) -> None:
    if not lines or lines[-1] != EOF:
        raise InvalidInput("no_eof", "OpenMetrics ends with # EOF", where=_shown(lines[-1]) if lines else "")
    lines.pop()


def _invalid(line: bytes) -> InvalidInput:
    return InvalidInput("invalid_line", "expected a series, its value and perhaps a timestamp", where=_shown(line))


def _shown(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace")
