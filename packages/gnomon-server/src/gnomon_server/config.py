"""The parts' settings composed into one tree, and where each value comes from.

A key `retention.metrics` is the environment variable `GNOMON_RETENTION_METRICS` and, where one exists, a flag. Flag
before environment before file before default. All mistakes are reported at once, each with its key; unknown keys are
mistakes.
Every secret can be given as `<key>_file`, the path of a file that holds it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from gnomon_server.access.tokens import TokenSettings
from gnomon_server.access.web import WebSettings
from gnomon_server.errors import InvalidInput
from gnomon_server.intake.sources import SourceSettings
from gnomon_server.intake.writer import IntakeLimits
from gnomon_server.receive.scrape.settings import ScrapeSettings
from gnomon_server.store.backup.service import BackupSettings
from gnomon_server.store.disk import DiskSettings
from gnomon_server.store.retention import RetentionSettings
from gnomon_server.transport.limits import BodyLimits, HttpLimits
from gnomon_server.transport.tls import TlsSettings

_PREFIX = "GNOMON_"
# The SDK's settings have the same prefix, and may stand in the same file and environment; they are its to judge. A test
# holds the names against the SDK's own.
SDK_PARTS = frozenset(
    "service export traces metrics logs privacy stalls issues budget integrations disabled".split()  # noqa: SIM905 - short
)
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^:\[\]]*):(?P<port>\d{1,5})")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]i?B?|B)?")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen. `off` is no listener (host and port are then empty)."""

    host: str
    port: int

    def __bool__(self) -> bool:
        return self.port >= 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self else "off"


def parse_listen(value: Any) -> Listen:
    """`HOST:PORT`, `:PORT` (every address), `[::1]:PORT`, or `off`."""
    if isinstance(value, Listen):
        return value
    if value is False or str(value).strip().lower() == "off":  # YAML reads a bare `off` as false
        return Listen("", -1)
    match = _ADDRESS.fullmatch(str(value).strip())
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004  (the largest port)
        raise ValueError(f"{value!r} is not HOST:PORT (as 127.0.0.1:4319; port 0 takes a free one) or off")
    return Listen(match["host"].strip("[]") or "0.0.0.0", int(match["port"]))  # noqa: S104  (asked for; tokens are demanded)


def parse_duration_s(value: Any) -> Any:
    """`500ms`, `30s`, `5m`, `1h`, `7d`, or a number of seconds."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match["number"]) * _SECONDS[match["unit"]] if match else value


def parse_size(value: Any) -> Any:
    """`512MiB`, `2GB`, or a number of bytes."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    unit = match["unit"] or "B"
    base = 1024 if "i" in unit or len(unit) == 1 else 1000
    return int(float(match["number"]) * base ** "BKMGT".index(unit[0]))


ListenAddress = Annotated[Listen, BeforeValidator(parse_listen)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class OtlpSettings(_Part):
    """OTLP's two listeners; OTLP over HTTP is served on `listen` as well."""

    grpc: ListenAddress = Listen("127.0.0.1", 4317)
    http: ListenAddress = Listen("127.0.0.1", 4318)


class StoreSettings(_Part):
    """Where rows are kept. Without a URL the server runs its own ClickHouse in the data directory."""

    url: str = ""
    user: str = "default"
    password: SecretStr = SecretStr("")
    cluster: str = ""
    spool_bytes: int = 1 << 30


class EngineMemory(_Part):
    """The embedded engine. `memory_bytes` 0: half of the machine's."""

    memory_bytes: int = 0


class LimitSettings(_Part):
    """What a request and a record may be."""

    future_s: float = 3600.0
    attributes_per_record: int = Field(default=1000, ge=1)
    attribute_key_bytes: int = 1024
    attribute_value_bytes: int = 65_536
    log_body_bytes: int = 1 << 20
    body: BodyLimits = BodyLimits()
    http: HttpLimits = HttpLimits()
    tenants: int = Field(default=10_000, ge=1)


class QuerySettings(_Part):
    """Bounds of one query."""

    deadline_s: float = 30.0
    memory_bytes: int = 1 << 30
    rows: int = Field(default=100_000, ge=1)
    concurrency: int = Field(default=8, ge=1)
    cache_bytes: int = Field(default=128 << 20, ge=0)
    samples_bytes: int | None = Field(default=None, ge=0)


class AccessSettings(_Part):
    """Who may. Without tokens only loopback is served, and everybody there may everything."""

    tokens: tuple[TokenSettings, ...] = ()
    web: WebSettings = WebSettings()


class Settings(_Part):
    """Everything that can be set."""

    data: Path = Path("gnomon-data")
    listen: ListenAddress = Listen("127.0.0.1", 4319)
    otlp: OtlpSettings = OtlpSettings()
    tls: TlsSettings | None = None
    store: StoreSettings = StoreSettings()
    engine: EngineMemory = EngineMemory()
    retention: RetentionSettings = RetentionSettings()
    disk: DiskSettings = DiskSettings()
    backup: BackupSettings = BackupSettings()
    limits: LimitSettings = LimitSettings()
    intake: IntakeLimits = IntakeLimits()
    sources: SourceSettings = SourceSettings()
    scrape: ScrapeSettings = ScrapeSettings()
    query: QuerySettings = QuerySettings()
    access: AccessSettings = AccessSettings()
    own_telemetry_s: float = 10.0
    """How often the server's own metrics, logs and spans are stored; 0 for not at all."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key where its value comes from: `flag`, `env NAME`, `file PATH`, `default`."""

    settings: Settings
    origins: Mapping[str, str]

    def table(self) -> Iterator[tuple[str, str, str]]:
        """Key, value and origin of every setting; secrets as `***`."""
        for key, value in _leaves(self.settings):
            yield key, _shown(value), self.origins.get(key, "default")


def load(flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None) -> Loaded:
    """Compose the settings. `flags` maps keys to text. GnomonError `config_invalid` names every mistake."""
    mistakes: list[str] = []
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        for key, value in _flat({name: part for name, part in _read(file).items() if name not in SDK_PARTS}):
            _put(tree, key, value, mistakes)
            origins[key] = f"file {file}"
    known = {_variable(key): key for key in keys()}
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS:
            named = known.get(name)
            if named is None and name.removeprefix(_PREFIX).split("_")[0].lower() in SDK_PARTS:
                continue
            if named is None:
                mistakes.append(f"{name}: there is no such setting (env {name})")
                continue
            _put(tree, named, _from_text(named, environment[name]), mistakes)
            origins[named] = f"env {name}"
    for given, text in flags.items():
        _put(tree, given, _from_text(given, text), mistakes)
        origins[given] = "flag"
    _read_secret_files(tree, mistakes)
    settings = None
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        mistakes += [_mistake(part, origins) for part in error.errors(include_url=False, include_input=False)]
    if mistakes or settings is None:
        raise InvalidInput(
            "config_invalid", "the configuration has mistakes:\n  - " + "\n  - ".join(mistakes),
            hint="`gnomon check --print` lists every key with its value and origin",
        )  # fmt: skip
    return Loaded(settings, origins)


_NOT_SETTINGS = {"GNOMON_CORPORA", "GNOMON_TOKEN", "GNOMON_API", "GNOMON_CONFIG", "GNOMON_TENANT"}


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Every key of the tree, `retention.metrics` and the like; secrets also as `..._file`."""
    found = []
    for name, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        if inner is not None:
            found += keys(inner, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
            if info.annotation is SecretStr:
                found.append(f"{prefix}{name}_file")
    return found


def _variable(key: str) -> str:
    return _PREFIX + key.upper().replace(".", "_")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate if get_origin(annotation) is not tuple else None
    return None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(
            "config_unreadable", f"cannot read the configuration: {error.strerror}", str(file)
        ) from error
    except yaml.YAMLError as error:
        raise InvalidInput("config_unreadable", f"the configuration is not YAML: {error}", where=str(file)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidInput("config_unreadable", "the configuration is not a map of keys", where=str(file))
    return content


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value and f"{prefix}{name}" not in _MAPS:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


_MAPS = {"retention.tenants"}  # settings that are maps by themselves


def _put(tree: dict[str, Any], key: str, value: Any, mistakes: list[str]) -> None:
    *path, last = key.split(".")
    for name in path:
        inner = tree.setdefault(name, {})
        if not isinstance(inner, dict):
            mistakes.append(f"{key}: {name} has a value of its own")
            return
        tree = inner
    tree[last] = _in_unit(last, value)


def _in_unit(name: str, value: Any) -> Any:
    """Settings whose name ends in their unit take one in the value too: `intake.queue_bytes=64MiB`."""
    if name.endswith("_bytes"):
        return parse_size(value)
    return parse_duration_s(value) if name.endswith("_s") else value


def _from_text(key: str, text: str) -> Any:
    """A flag's or variable's text: lists and maps are YAML (JSON), everything else is for the validators."""
    if text[:1] in ("[", "{") and key not in ("listen", "otlp.grpc", "otlp.http"):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _read_secret_files(node: Any, mistakes: list[str], where: str = "") -> None:
    if isinstance(node, list):
        for number, item in enumerate(node):
            _read_secret_files(item, mistakes, f"{where}[{number}]")
    if not isinstance(node, dict):
        return
    for name in list(node):
        path = f"{where}.{name}".lstrip(".")
        if name in ("password_file", "secret_file", "secret_key_file"):
            try:
                node[name.removesuffix("_file")] = Path(str(node.pop(name))).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                mistakes.append(f"{path}: cannot read the secret: {error}")
        else:
            _read_secret_files(node[name], mistakes, path)


def _mistake(part: Any, origins: Mapping[str, str]) -> str:
    key = ".".join(str(step) for step in part["loc"])
    origin = next((text for name, text in origins.items() if key.startswith(name) or name.startswith(key)), "")
    message = part["msg"].removeprefix("Value error, ")
    if part["type"] == "extra_forbidden":
        message = "there is no such setting"
    return f"{key}: {message}" + (f" ({origin})" if origin else "")


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return ", ".join(item.name if isinstance(item, TokenSettings) else str(item) for item in value)
    return "" if value is None else str(value)
