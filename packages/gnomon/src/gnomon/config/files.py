"""A file of settings: TOML, JSON, or YAML where PyYAML is installed, told apart by its suffix."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gnomon.errors import ConfigurationError


def read_settings(path: Path) -> Mapping[str, Any]:
    """The file's tree. ConfigurationError: it cannot be read, is not of its format, or is not a table."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the settings in {path} cannot be read: {error}") from error
    try:
        tree = _reader(path)(text)
    except ValueError as error:  # of all three formats
        raise ConfigurationError(f"{path} is not {path.suffix[1:].upper()}: {error}") from error
    if tree is None:  # an empty YAML file
        return {}
    if not isinstance(tree, Mapping):
        raise ConfigurationError(
            f"{path} is not a table of settings", hint="It should hold keys such as traces.sampler"
        )
    return tree


def _reader(path: Path) -> Callable[[str], Any]:
    if path.suffix in (".yaml", ".yml"):
        return _yaml(path)
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix not in readers:
        raise ConfigurationError(f"the format of {path} is not known", hint="Name it .toml, .json or .yaml")
    return readers[path.suffix]


def _yaml(path: Path) -> Callable[[str], Any]:
    try:
        import yaml  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        hint = "Install gnomon[yaml], or write TOML, which needs nothing"
        raise ConfigurationError(f"{path} is YAML, and PyYAML is not installed", hint=hint) from error

    def read(text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error

    return read
