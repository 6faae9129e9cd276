"""Where targets come from: the configuration itself, and files that are read again when they change.

Source: Prometheus discovery/file/file.go. A file that has become unreadable or invalid leaves its last good targets.
"""

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from gnomon_server.errors import InvalidInput
from gnomon_server.receive.scrape.settings import ScrapeConfig, StaticConfig

_MAX_FILE_BYTES = 16 << 20
_MAX_TARGETS = 100_000
_GROUPS = TypeAdapter(tuple[StaticConfig, ...])

Labels = dict[str, str]


@dataclass(slots=True)
class _File:
    stamp: tuple[int, int]
    groups: tuple[StaticConfig, ...]


@dataclass(slots=True)
class Discovery:
    """The targets of one job. `problems`: what is wrong with which file, until it is mended."""

    config: ScrapeConfig
    problems: dict[str, str] = field(default_factory=dict)
    _files: dict[Path, _File] = field(default_factory=dict)

    def read(self) -> list[Labels]:
        """The labels of all targets as they are now. Reads files, those that changed."""
        found = list(_labels(self.config.static_configs, {}))
        paths = {path for sd in self.config.file_sd_configs for pattern in sd.files for path in _matching(pattern)}
        for gone in set(self._files) - paths:
            del self._files[gone]
        self.problems = {path: why for path, why in self.problems.items() if Path(path) in paths}
        for path in sorted(paths):
            self._refresh(path)
            if path in self._files:
                found += _labels(self._files[path].groups, {"__meta_filepath": str(path)})
        if len(found) > _MAX_TARGETS:
            self.problems[self.config.job_name] = f"{len(found)} targets, of which {_MAX_TARGETS} are taken"
        return found[:_MAX_TARGETS]

    def _refresh(self, path: Path) -> None:
        try:
            stat = path.stat()
            stamp = stat.st_mtime_ns, stat.st_size
            known = self._files.get(path)
            if known is None or known.stamp != stamp or str(path) in self.problems:
                self._files[path] = _File(stamp, _read(path, stat.st_size))
                self.problems.pop(str(path), None)
        except (OSError, InvalidInput) as error:
            self.problems[str(path)] = error.what if isinstance(error, InvalidInput) else str(error)


def _matching(pattern: str) -> list[Path]:
    return [Path(path) for path in glob.glob(pattern)]  # noqa: PTH207 - may be absolute, which Path.glob refuses


def _read(path: Path, size: int) -> tuple[StaticConfig, ...]:
    if size > _MAX_FILE_BYTES:
        raise InvalidInput("invalid_target_file", f"more than {_MAX_FILE_BYTES} bytes", where=str(path))
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))  # JSON is YAML
        return _GROUPS.validate_python(content or ())
    except (UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise InvalidInput("invalid_target_file", f"expected a list of targets and labels: {error}"[:500]) from error


def _labels(groups: Iterable[StaticConfig], extra: Labels) -> Iterator[Labels]:
    for group in groups:
        for address in group.targets:
            yield {**extra, **group.labels, "__address__": address}
