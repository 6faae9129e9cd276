"""The types of settings: how each reads text, what it allows, and whether it may change while the service runs."""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from gnomon.config.units import (
    Overhead,
    read_bytes,
    read_nothing,
    read_overhead,
    read_pairs,
    read_ratio,
    read_seconds,
    read_words,
)

LIVE = "live"
"""The mark of a setting that acts on a running service when the file is edited; all others need a restart."""

_T = TypeVar("_T")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL", "NOTSET": "TRACE"}


class Part(BaseModel):
    """A part's settings: immutable, without surprises in the spelling; a version may be written as a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)


def _level(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    name = value.strip().upper()
    return _LEVELS.get(name, name)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _off(value: Any) -> Any:
    return "off" if value is False else value  # YAML reads a bare `off` so


def _patterns(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return values


def _header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("a header's name has letters, digits and dashes")
    return name.lower()


def _header_value(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().isprintable():  # a line break would begin another header
        raise ValueError("a header's value is one line of printable text")
    return value


Live = Annotated[_T, LIVE]
Maybe = Annotated[_T | None, BeforeValidator(read_nothing)]
Seconds = Annotated[float, BeforeValidator(read_seconds), Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(read_bytes), Field(ge=1)]
Ratio = Annotated[float, BeforeValidator(read_ratio), Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Words = Annotated[tuple[str, ...], BeforeValidator(read_words)]
Patterns = Annotated[Words, AfterValidator(_patterns)]
Texts = Annotated[dict[str, str], BeforeValidator(read_pairs)]
Switches = Annotated[dict[Annotated[str, BeforeValidator(_lower)], bool], BeforeValidator(read_pairs)]
Ratios = Annotated[dict[Annotated[str, BeforeValidator(_lower)], Ratio], BeforeValidator(read_pairs)]
Headers = Annotated[
    dict[Annotated[str, AfterValidator(_header)], Annotated[SecretStr, AfterValidator(_header_value)]],
    BeforeValidator(read_pairs),
]
Level = Annotated[Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_level)]
Levels = Annotated[dict[str, Level], BeforeValidator(read_pairs)]
Policies = Annotated[dict[str, Literal["mask", "truncate", "keep"]], BeforeValidator(read_pairs)]
Console = Annotated[Literal["auto", "json", "text", "off"], BeforeValidator(_off)]
Stream = Annotated[Literal["stderr", "stdout"], BeforeValidator(_lower)]
Cost = Annotated[Overhead, BeforeValidator(read_overhead)]
