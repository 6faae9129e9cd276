"""Levels that are changed while the service runs, for a logger and all below it, and that go back by themselves."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from gnomon.errors import LoggingError
from gnomon.logging.categories import LogLevel, level_name, level_number
from gnomon.process.clock import SYSTEM, Clock

# Of loggers with a level of their own: they are named by people.
MOST = 256
# A forgotten DEBUG is what fills disks; who wants it for longer makes it a setting.
LONGEST_S = 24 * 3600.0

Told = Callable[[str, Mapping[str, Any]], object]


def _untold(message: str, fields: Mapping[str, Any]) -> None:
    """Nobody hears of changes."""


class Levels:
    """Who logs from which level on. The nearest of a logger's names counts: `a.b`, then `a`, then all (`""`).

    Changes are rare and reading is hot: readers hold the answer (`Pipeline.source`), and are told by `changed`.
    There are no locks; of two that change the same logger at once one comes last.

    Args:
        default: of loggers for which nothing is said.
        levels: by logger, for good.
        clock: for timers.

    Attributes:
        changed: called after every change.
        audit: (message, fields) of every change at run time.
        timed: whether a timer runs; then whoever logs calls `tick`.
    """

    def __init__(
        self,
        default: int | str = LogLevel.INFO,
        levels: Mapping[str, int | str] | None = None,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        self._default = level_number(default)
        self._lasting = {_name(name): level_number(level) for name, level in (levels or {}).items()}
        self._timed: dict[str, tuple[int, float]] = {}
        self._stdlib: dict[str, int] = {}
        self._clock = clock
        self._leads = False
        self.changed: Callable[[], object] = lambda: None
        self.audit: Told = _untold
        self.timed = False

    def of(self, logger: str, own: int | None = None) -> int:
        """The level of a logger; `own` is what its code asked for, which any setting overrules."""
        name = logger
        while True:
            found = self._said(name)
            if found is not None:
                return found
            if not name:
                return self._default if own is None else own
            name = name.rpartition(".")[0]

    def configure(self, default: int | str, levels: Mapping[str, int | str]) -> None:
        """Put other settings in place of those that were there, and of what was set at run time for good.

        Raises:
            LoggingError: there is no such level; then nothing has changed.
        """
        number, lasting = level_number(default), {_name(name): level_number(level) for name, level in levels.items()}
        names = {"", *self._lasting, *lasting}
        before = {name: self.of(name) for name in names}
        self._default, self._lasting = number, lasting
        for name in sorted(names):
            self._follow(name)
            if self.of(name) != before[name]:
                self._tell("Log level changed", name, before[name], self.of(name), "settings", None)

    def lead(self, *, stdlib: bool) -> None:
        """Whether loggers of the standard library have the levels that are set here, or are as they were before."""
        self._leads = stdlib
        for name in {"", *self._lasting, *self._timed, *self._stdlib}:
            self._follow(name)

    def set_level(self, logger: str, level: int | str, for_s: float | None = None, *, by: str = "code") -> None:
        """Change a level, for so many seconds or for good; `logger` "" or "root" is all of them.

        The standard library's logger of that name follows, where we lead those.

        Raises:
            LoggingError: there is no such level, the time is not between 0 and a day, or too many loggers are named.
        """
        name, number = _name(logger), level_number(level)
        if for_s is not None and not 0 < for_s <= LONGEST_S:
            raise LoggingError(f"a level for {for_s} s", hint=f"Give more than 0 and at most {LONGEST_S:.0f} s")
        if self._said(name) is None and len(self._timed) + len(self._lasting) >= MOST:
            raise LoggingError(f"{MOST} loggers have levels of their own", hint="Reset one, or name one above them")
        before = self.of(name)
        if for_s is None:
            self._timed.pop(name, None)
            self._lasting[name] = number
        else:
            self._timed[name] = (number, self._clock.monotonic_s() + for_s)
        self._follow(name)
        self._tell("Log level changed", name, before, number, by, for_s)

    def reset(self, logger: str, *, by: str = "code") -> None:
        """Take back what was set for a logger."""
        name = _name(logger)
        before = self.of(name)
        if self._said(name) is not None:
            self._timed.pop(name, None)
            self._lasting.pop(name, None)
            self._follow(name)
            self._tell("Log level reset", name, before, self.of(name), by, None)

    def tick(self) -> bool:
        """Take back what is over; whether anything was. Called before a line is logged, and from time to time."""
        now_s, over = self._clock.monotonic_s(), False
        for name, (level, until_s) in list(self._timed.items()):
            # Of two threads that are here at once one takes it away, and tells.
            if now_s >= until_s and self._timed.pop(name, None) is not None:
                over = True
                self._follow(name)
                self._tell("Log level reset", name, level, self.of(name), "timer", None)
        return over

    def shown(self) -> dict[str, Any]:
        """What is set: `{"default": "INFO", "loggers": {"orders": {"level": "DEBUG", "for_s": 12.5}}}`."""
        now_s = self._clock.monotonic_s()
        loggers: dict[str, Any] = {name: {"level": level_name(level)} for name, level in self._lasting.items()}
        for name, (level, until_s) in list(self._timed.items()):
            loggers[name] = {"level": level_name(level), "for_s": round(max(until_s - now_s, 0.0), 3)}
        return {"default": level_name(self._default), "loggers": loggers}

    def handle(self, method: str, body: bytes, *, by: str = "admin") -> tuple[int, bytes]:
        """`/admin/loglevel`, whoever serves it: GET shows; PUT `{"logger", "level", "for_s"?}`, level null resets."""
        self.tick()
        if method == "GET":
            return 200, json.dumps(self.shown()).encode()
        if method != "PUT":
            return 405, b'{"error":"GET or PUT"}'
        try:
            self._asked(json.loads(body), by)
        except (ValueError, TypeError, KeyError, LoggingError) as error:
            hint = 'send {"logger": "orders", "level": "DEBUG", "for_s": 300}'
            return 400, json.dumps({"error": f"{type(error).__name__}: {error}", "hint": hint}).encode()
        return 200, json.dumps(self.shown()).encode()

    def _asked(self, wish: Any, by: str) -> None:
        if not isinstance(wish, dict) or not isinstance(wish["logger"], str):
            raise TypeError("not an object that names a logger")
        if wish["level"] is None:
            self.reset(wish["logger"], by=by)
        else:
            for_s = wish.get("for_s")
            self.set_level(wish["logger"], wish["level"], None if for_s is None else float(for_s), by=by)

    def _said(self, name: str) -> int | None:
        timed = self._timed.get(name)
        return self._lasting.get(name) if timed is None else timed[0]

    def _follow(self, name: str) -> None:
        """Have the standard library's logger do likewise, or as it did before."""
        self.timed = bool(self._timed)
        level = self._said(name)
        if level is None and not name:
            level = self._default
        if self._leads and level is not None:
            logger = logging.getLogger(name)
            self._stdlib.setdefault(name, logger.level)
            logger.setLevel(level)
        elif name in self._stdlib:
            logging.getLogger(name).setLevel(self._stdlib.pop(name))
        self.changed()

    def _tell(self, message: str, name: str, before: int, after: int, by: str, for_s: float | None) -> None:
        told = {"logger": name or "root", "before": level_name(before), "after": level_name(after), "by": by}
        self.audit(message, told if for_s is None else {**told, "for_s": for_s})


def _name(logger: str) -> str:
    return "" if logger == "root" else logger
