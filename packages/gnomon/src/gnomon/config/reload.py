"""Hot reload: an edited file acts on the running service, as far as a setting may change while it runs.

No thread of its own: a background thread that is there anyway calls `tick()` every `POLL_S`.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gnomon.config.fields import Part
from gnomon.config.settings import ObservabilityConfig, keys, leaves
from gnomon.config.sources import Sources
from gnomon.errors import ConfigurationError

_warning = logging.getLogger("gnomon").warning
POLL_S = 1.0
"""Between two looks: one system call a second, and five times faster than promised."""

Apply = Callable[[ObservabilityConfig], None]


class Watcher:
    """Watches the file of some sources, and hands over the settings that now hold.

    `apply(config)` is called with the running settings and what changed of the live ones, from the thread that ticks.
    A refused edit, one that needs a restart, and a failure of `apply` are told to `warn`, once an edit.
    """

    def __init__(
        self,
        sources: Sources,
        config: ObservabilityConfig,
        apply: Apply,
        *,
        warn: Callable[[str], None] = _warning,
    ) -> None:
        self.config = config
        self._sources, self._apply, self._warn = sources, apply, warn
        self._seen: tuple[int, ...] | None = ()  # the first look reads: the file may be another than was loaded

    def tick(self) -> bool:
        """Look; True when settings were applied. Never raises."""
        if self._sources.file is None:
            return False
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature  # of before the reading: what is written meanwhile is another edit
        if signature is None:
            self._warn(f"{self._sources.file} is gone; the settings stay as they are")
            return False
        return self._reload()

    def _signature(self) -> tuple[int, ...] | None:
        """What tells one edit from the next, through symbolic links (Kubernetes swaps one to update a ConfigMap).

        The time of the inode's change is there for tools that keep the modification time.
        """
        try:
            found = self._sources.file.stat() if self._sources.file else None
        except OSError:
            return None
        return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _reload(self) -> bool:
        try:
            wanted = self._sources.load()
        except ConfigurationError as error:
            self._warn(f"the edit of {self._sources.file} is refused, the settings stay as they are: {error}")
            return False
        live, fixed = _changes(self.config, wanted)
        if fixed:
            self._warn(f"{self._sources.file} changes what needs a restart: {', '.join(fixed)}")
        if not live:
            return False
        made = _changed(self.config, live).located(_origins(self.config, wanted, live), wanted.remarks)
        try:
            self._apply(made)
        except Exception as error:  # noqa: BLE001 - the thread that ticks has other work, and the host must not notice
            self._warn(f"the edit of {self._sources.file} could not be applied: {error!r}")
            return False
        self.config = made
        return True


def _changes(now: ObservabilityConfig, wanted: ObservabilityConfig) -> tuple[dict[str, Any], list[str]]:
    """The values of live settings that differ, by key, and the keys of others that do."""
    running = {key: value for key, value, _ in leaves(now)}
    differ = {key: value for key, value, _ in leaves(wanted) if value != running[key]}
    live = keys()
    return {key: value for key, value in differ.items() if live[key]}, [key for key in differ if not live[key]]


def _changed(config: ObservabilityConfig, values: Mapping[str, Any]) -> ObservabilityConfig:
    """A copy with other values; live settings are in the parts of the first level."""
    parts: dict[str, Part] = {}
    for key, value in values.items():
        name, _, setting = key.partition(".")
        part: Part = parts.get(name) or getattr(config, name)
        parts[name] = part.model_copy(update={setting: value})
    return config.model_copy(update=parts)


def _origins(now: ObservabilityConfig, wanted: ObservabilityConfig, live: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: origin for key, origin in now.origins.items() if key not in live}
    return kept | {key: wanted.origins[key] for key in live if key in wanted.origins}
