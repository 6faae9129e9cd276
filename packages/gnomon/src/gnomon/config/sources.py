"""Settings from arguments, the environment and a file: which goes first, and where each value came from.

Argument before `GNOMON_*` before `OTEL_*` before file before default. A key `traces.sampler_ratio` is the variable
`GNOMON_TRACES_SAMPLER_RATIO`. Maps (`logs.levels`, `integrations`, ...) are merged key by key, everything else is
replaced. Empty variables are as if they were not set, as the standard has it.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from gnomon.config import otel
from gnomon.config.files import read_settings
from gnomon.config.mistakes import Given, mistake, unknown
from gnomon.config.settings import ObservabilityConfig, keys
from gnomon.config.units import read_pairs
from gnomon.errors import ConfigurationError

_PREFIX = "GNOMON_"
_KEYS = keys()
_SECRET_FILES = {f"{key}_file": key for key in _KEYS if key.endswith((".headers", ".pseudonym_key"))}
_NAMES = [*_KEYS, *_SECRET_FILES]
_VARIABLES = {_PREFIX + key.upper().replace(".", "_"): key for key in _NAMES}
_PARTS = list(dict.fromkeys(key.partition(".")[0] for key in _KEYS))
_SECTIONS = {key.rpartition(".")[0] for key in _KEYS} - {""}
_MAPS = {key for key in _KEYS if key.rpartition(".")[2] in
         {"headers", "resource_attributes", "levels", "sampling", "integrations", "policies"}}  # fmt: skip
SERVER_PARTS = frozenset({
    "data", "listen", "otlp", "tls", "store", "engine", "retention", "disk", "backup", "limits", "intake", "sources",
    "query", "access", "own_telemetry_s", "scrape",
})  # fmt: skip
"""The server reads `GNOMON_CONFIG` too: where one file serves both, its keys are not ours to judge."""


class _Entry(NamedTuple):
    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from; kept, so that the file can be read again beside the same arguments."""

    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Nested, as `{"traces": {"sampler": "ratio"}}`, or by dotted keys."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    file: Path | None = None

    def load(self) -> ObservabilityConfig:
        """Read, merge and validate. ConfigurationError lists every mistake with its field, value and origin."""
        mistakes: list[str] = []
        remarks: list[str] = []
        entries = [
            *(self._from_file(mistakes) if self.file else ()),
            *self._from_standard(remarks),
            *self._from_environment(mistakes),
            *_from_tree(self.arguments, "argument"),
        ]
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for entry in _with_secrets_read(entries, mistakes):
            if entry.key in _KEYS or entry.key in _SECTIONS:
                _merge(entry, values, origins, mistakes)
            else:
                mistakes.append(unknown(entry.key, _NAMES if "." in entry.key else [*_NAMES, *_SECTIONS], entry.origin))
        given = Given(values, origins, tuple(mistakes))
        return ObservabilityConfig.model_validate(_nested(values), context=given).located(
            {key: origins[key] for key in values}, tuple(remarks)
        )

    def _from_file(self, mistakes: list[str]) -> Iterator[_Entry]:
        assert self.file is not None  # noqa: S101 - the caller asked
        try:
            tree = read_settings(self.file)
        except ConfigurationError as error:
            mistakes.append(str(error))
            return
        ours = {name: value for name, value in tree.items() if str(name).partition(".")[0] not in SERVER_PARTS}
        yield from _from_tree(ours, f"file {self.file}")

    def _from_standard(self, remarks: list[str]) -> Iterator[_Entry]:
        for name, read in otel.VARIABLES.items():
            text = self.environment.get(name, "").strip()
            if not text:
                continue
            try:
                settings = read(text)
                for key, value in settings.items():
                    _check(key, value, f"env {name}")
            except ConfigurationError as error:
                remarks.append(f"{name} is passed over: {str(error).partition('- ')[2]}")
            except ValueError as error:
                remarks.append(f"{name} is passed over: {error}")
            else:
                yield from (_Entry(key, value, f"env {name}") for key, value in settings.items())

    def _from_environment(self, mistakes: list[str]) -> Iterator[_Entry]:
        for name in sorted(self.environment):
            key = _VARIABLES.get(name)
            if key is not None and self.environment[name].strip():
                yield _Entry(key, self.environment[name], f"env {name}")
            elif key is None and name.startswith(_PREFIX) and _is_ours(name):
                mistakes.append(unknown(name, _VARIABLES, "env"))


def sources(
    arguments: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: str | Path | None = None,
) -> Sources:
    """The sources of this process: `os.environ`, and the file of the argument or of `GNOMON_CONFIG`."""
    environment = dict(os.environ if environment is None else environment)
    named = file or environment.get(f"{_PREFIX}CONFIG")
    # Absolute: it is looked at for as long as we run, and a server may change its directory meanwhile.
    return Sources(arguments or {}, environment, Path(named).absolute() if named else None)


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: str | Path | None = None,
) -> ObservabilityConfig:
    """The settings of this process. ConfigurationError lists every mistake at once."""
    return sources(arguments, environment=environment, file=file).load()


def _is_ours(name: str) -> bool:
    """Does a variable mean the SDK? The server shares the prefix, so its first word must be a part's, or nearly."""
    word = name.removeprefix(_PREFIX).partition("_")[0].lower()
    return bool(difflib.get_close_matches(word, _PARTS, n=1, cutoff=0.8))


def _from_tree(tree: Mapping[str, Any], origin: str, prefix: str = "") -> Iterator[_Entry]:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            value = {one: getattr(value, one) for one in value.model_fields_set}  # noqa: PLW2901 - its tree
        if isinstance(value, Mapping) and key not in _MAPS:
            yield from _from_tree(value, origin, f"{key}.")
        elif value is not None or key not in _SECTIONS:  # in YAML a section without a line under it is null
            yield _Entry(key, value, origin)


def _with_secrets_read(entries: list[_Entry], mistakes: list[str]) -> Iterator[_Entry]:
    """`export.headers_file` and its like: the path of a file that holds the secret."""
    for entry in entries:
        key = _SECRET_FILES.get(entry.key)
        if key is None:
            yield entry
            continue
        try:
            text = Path(str(entry.value)).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            mistakes.append(mistake(entry.key, entry.value, entry.origin, f"the secret cannot be read: {error}"))
            continue
        text = ",".join(text.splitlines()) if key in _MAPS else text
        yield _Entry(key, text, f"{entry.origin}, file {entry.value}")


def _merge(entry: _Entry, values: dict[str, Any], origins: dict[str, str], mistakes: list[str]) -> None:
    key, value, origin = entry
    if key in _MAPS:
        try:
            value = read_pairs(value)
        except ValueError as error:
            mistakes.append(mistake(key, value, origin, str(error)))
            return
        if isinstance(value, Mapping):
            origins |= {f"{key}.{name}": origin for name in value}
            if isinstance(values.get(key), Mapping):
                value, origin = {**values[key], **value}, f"{origins[key]}; {origin}"
    values[key], origins[key] = value, origin


def _check(key: str, value: Any, origin: str) -> None:
    ObservabilityConfig.model_validate(_nested({key: value}), context=Given({key: value}, {key: origin}))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        inner = tree
        for name in path:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):  # a section was given as a value: validation says so
                break
        else:
            inner[last] = value
    return tree
