"""A logger's name in a pipeline: here lines are encoded.

Everything in `Source.log` is on the way of every line. As in `tracing.span`: no locks, no validation, no copies.
"""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from gnomon.context import current_ids
from gnomon.export.outlet import Lane
from gnomon.logging import exceptions, lines
from gnomon.logging.binding import EMPTY, bound
from gnomon.logging.categories import KEPT, LogCategory, LogLevel, categorised, level_name, level_text, severity
from gnomon.wire import logs as wire
from gnomon.wire.attributes import KeyValues, Mask

if TYPE_CHECKING:  # the one way back: a source belongs to its pipeline
    from gnomon.logging.pipeline import Pipeline

MOST_FIELDS = 128
# Levels times categories; unknown categories could add to them without end.
MOST_HEADS = 256

Ids = tuple[bytes, bytes, bool]
"""Trace id (16 bytes), span id (8), sampled."""


class Texts:
    """How texts leave under one mask."""

    __slots__ = ("attributes", "bodies", "mask")

    def __init__(self, mask: Mask | None, longest: int) -> None:
        self.mask, self.attributes, self.bodies = mask, KeyValues(wire.ATTRIBUTES, mask), wire.Bodies(mask)
        self.attributes.longest = longest


class Head:
    """What all lines of one logger, level and category have in common."""

    __slots__ = ("category", "encoded", "important", "level", "ratio", "special", "texts", "unknown")

    def __init__(
        self, encoded: bytes, texts: Texts, level: str, category: LogCategory, unknown: str | None,
        important: bool, ratio: float,
    ) -> None:  # fmt: skip
        self.encoded, self.texts, self.level, self.category = encoded, texts, level, category
        self.unknown, self.important, self.ratio = unknown, important, ratio
        self.special = unknown is not None or ratio < 1.0


class Source:
    """A logger's name in a pipeline; made by `Pipeline.source`.

    Attributes:
        level: below it nothing is logged; kept up to date by the pipeline.
        ships: whether lines leave as OTLP.
    """

    __slots__ = ("_heads", "_lane", "_static", "level", "name", "own_level", "pipeline", "service_name", "ships")

    def __init__(
        self, pipeline: "Pipeline", name: str, lane: Lane | None, service_name: str, environment: str,
        own_level: int | None,
    ) -> None:  # fmt: skip
        self.pipeline, self.name, self._lane, self.ships = pipeline, name, lane, lane is not None
        self.service_name, self._static = service_name, {"environment": environment} if environment else {}
        self.own_level, self.level = own_level, pipeline.levels.of(name, own_level)
        self._heads: dict[tuple[int, Any], Head] = {}

    def forget(self) -> None:
        """Settings have changed."""
        self._heads = {}
        self.level = self.pipeline.levels.of(self.name, self.own_level)

    def allows(self, level: int) -> bool:
        """Whether a line of this level is logged, now that timers are looked at."""
        if self.pipeline.levels.timed:
            self.pipeline.levels.tick()
        return level >= self.level

    def log(  # noqa: C901 - the hot path, in one piece: a call costs as much as what it would name
        self,
        level: int,
        message: Any,
        category: Any,
        fields: Mapping[str, Any],
        error: BaseException | None = None,
        more: bytes = b"",
        time_ns: int | None = None,
        ids: Ids | None = None,
    ) -> None:
        """Let a line through that its level allows. Never waits, never raises.

        Args:
            level: its number.
            message: a text; anything else is shipped as it is structured.
            category: a LogCategory or its name; None: error from ERROR on, else application.
            fields: what the line says beside its message.
            error: an exception it tells of.
            more: further fields of the record, encoded: where in the code it was logged, an event's name.
            time_ns: when it happened, Unix nanoseconds; None: now.
            ids: the span it belongs to; None: the current one.
        """
        pipeline = self.pipeline
        try:
            head = self._heads.get((level, category)) or self._head(level, category)
            if ids is None:
                ids = current_ids()
            if head.special or len(fields) > pipeline.most_fields:
                kept = self._special(head, fields, ids)
                if kept is None:
                    return
                fields, more = kept[0], more + kept[1]
            texts = head.texts
            body, shown = texts.bodies.of(message)
            if time_ns is None:
                time_ns = pipeline.time_ns()
            around = bound.get()
            described = None if error is None else pipeline.describe(error)
            lane = self._lane
            if lane is not None:
                encode = texts.attributes.encode
                rest = head.encoded + body + more
                if fields:
                    rest += encode(fields)
                if around is not EMPTY:
                    apart = around.fields.keys().isdisjoint(fields)
                    rest += around.block(texts.attributes) if apart else around.without(fields, texts.attributes)
                if described is not None:
                    rest += encode(described)
                lane.put(wire.record(time_ns, ids, rest), head.important)
            if pipeline.console is not None:
                if error is not None and described is not None:
                    fields = _raised(fields, error, described)
                context = {**self._static, **around.fields}
                line = lines.shape(
                    time_ns, head.level, self.service_name, shown, head.category, context, ids, fields, texts.mask
                )
                pipeline.console.write(line, head.important)
        except Exception:  # noqa: BLE001 - a mask, a describer, a field: none of them may break the host
            pipeline.fault()

    def _special(
        self, head: Head, fields: Mapping[str, Any], ids: Ids | None
    ) -> tuple[Mapping[str, Any], bytes] | None:
        """Fields with what is to be said of a line, and that some did not fit; None when it was sampled out."""
        pipeline, more = self.pipeline, b""
        most = pipeline.most_fields
        told = dict(islice(fields.items(), most))
        if len(fields) > most:
            more = wire.dropped(len(fields) - most)
        if head.unknown is not None:
            told["unknown_category"] = head.unknown
        if head.ratio < 1.0:
            if not pipeline.sampling.keeps(head.ratio, ids[0] if ids else None):
                pipeline.sampled_out += 1
                return None
            told["sample_rate"] = head.ratio
        return told, more

    def _head(self, level: int, category: Any) -> Head:
        pipeline = self.pipeline
        named, unknown = categorised(category, level)
        texts = pipeline.texts(named)
        one = texts.attributes.one
        encoded = wire.severity(severity(level), level_text(level)) + one("category", named.value)
        if self.service_name != pipeline.service_name:
            encoded += one("service.name", self.service_name)
        if self._static and self._static["environment"] != pipeline.environment:
            encoded += one("deployment.environment.name", self._static["environment"])
        head = Head(
            encoded,
            texts,
            level_name(level),
            named,
            unknown,
            level >= LogLevel.ERROR or named in KEPT,
            pipeline.sampling.ratio(self.name, named, level),
        )
        if len(self._heads) < MOST_HEADS:
            self._heads[level, category] = head
        return head


def _raised(fields: Mapping[str, Any], error: BaseException, described: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with the exception as structure; what a describer has found beyond the conventions stays."""
    told = ("exception.type", "exception.message", "exception.stacktrace")
    found = {key: value for key, value in described.items() if key not in told}
    return {**fields, **found, "exception": exceptions.chain(error)}
