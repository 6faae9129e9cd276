"""Levels and categories: what every line says about itself."""

import logging
from enum import IntEnum, StrEnum
from typing import Any

from gnomon.errors import LoggingError


class LogLevel(IntEnum):
    """The standard library's numbers."""

    TRACE = 5
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class LogCategory(StrEnum):
    """What a line is about; in lower case wherever it is written."""

    APPLICATION = "application"
    SECURITY = "security"
    PERFORMANCE = "performance"
    BUSINESS = "business"
    INFRASTRUCTURE = "infrastructure"
    AUDIT = "audit"
    ACCESS = "access"
    ERROR = "error"


KEPT = frozenset({LogCategory.AUDIT, LogCategory.SECURITY})
"""Categories that are never sampled, and find room in a full queue."""

_CATEGORIES = {category.value: category for category in LogCategory}
_LEVELS = {level.name: level for level in LogLevel} | {"WARN": LogLevel.WARNING, "FATAL": LogLevel.CRITICAL}
_FALLING = tuple(reversed(LogLevel))


def level_number(level: int | str) -> int:
    """A level as its number. LoggingError: there is no such level."""
    if isinstance(level, str):
        found = _LEVELS.get(level.strip().upper())
        if found is None:
            raise LoggingError(f"log level {level!r} is unknown", hint=f"Levels are {', '.join(LogLevel.__members__)}")
        return int(found)
    if isinstance(level, bool) or not isinstance(level, int):
        raise LoggingError(f"log level {level!r} is neither a name nor a number", hint='Write "INFO" or LogLevel.INFO')
    return int(level)


def level_name(level: int) -> str:
    """The name of the level, or of the next one below it: that of 25 is INFO."""
    return next((named.name for named in _FALLING if level >= named), LogLevel.TRACE.name)


def level_text(level: int) -> str:
    """As its source calls it: the standard library knows the names of levels that hosts have added."""
    given = logging.getLevelName(level)
    return level_name(level) if given.startswith("Level ") else given


def severity(level: int) -> int:
    """OpenTelemetry's number: 1 to 24, four to each of our tens. DEBUG is 5, INFO 9, WARNING 13, ERROR 17."""
    return min(max(1 + level * 4 // 10, 1), 24)


def level_of(severity_number: int) -> int:
    """The least level that has such a severity."""
    return -((severity_number - 1) * -10 // 4)


def categorised(category: Any, level: int) -> tuple[LogCategory, str | None]:
    """The category of a line, and what was asked for, when that is no category: then the line counts as application.

    Who names none has an error from ERROR on, else application.
    """
    if category is None:
        return (LogCategory.ERROR if level >= LogLevel.ERROR else LogCategory.APPLICATION), None
    found = _CATEGORIES.get(str(category).lower())
    return (LogCategory.APPLICATION, str(category)) if found is None else (found, None)
