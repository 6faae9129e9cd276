"""Scrape jobs as settings: the section `scrape` of ours, and in it Prometheus' own `scrape_configs` format.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config. Keys of Prometheus that
are not served are refused by name, so that no configuration is half obeyed.
"""

import glob
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from gnomon_server.decode.exposition.formats import DEFAULT, WITH_NATIVE, ScrapeProtocol
from gnomon_server.errors import InvalidInput
from gnomon_server.model.relabel import RelabelRule
from gnomon_server.query.syntax import durations

_MAX_FILE_BYTES = 16 << 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?")
_NOT_SERVED = {
    "oauth2": "OAuth 2.0 is not served: use authorization with credentials_file",
    "bearer_token": "use authorization with credentials",
    "bearer_token_file": "use authorization with credentials_file",
    "proxy_url": "proxies are not served",
    "proxy_from_environment": "proxies are not served",
    "no_proxy": "proxies are not served",
    "proxy_connect_header": "proxies are not served",
    "enable_http2": "targets are asked over HTTP/1.1: leave it out",
    "http_headers": "headers of one's own are not served",
    "convert_classic_histograms_to_nhcb": "classic histograms stay classic",
    "native_histogram_bucket_limit": "native histograms are stored as they are sent",
    "native_histogram_min_bucket_factor": "native histograms are stored as they are sent",
    "metric_name_validation_scheme": "names may be any UTF-8",
    "metric_name_escaping_scheme": "names may be any UTF-8",
    "scrape_failure_log_file": "failures are shown as the target's last error",
    "keep_dropped_targets": "dropped targets are kept",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _parse_size(value: Any) -> Any:
    """`10MB` and `10MiB` are both 10 * 2^20, as in Prometheus (alecthomas/units, Base2Bytes)."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(float(match[1]) * 1024 ** "_KMGT".index(match[2] or "_")) if match else value


def _milliseconds(value: Any) -> Any:
    """`1m30s`; numbers stay, being milliseconds already."""
    return durations.parse(value.strip()) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """What YAML takes for a number or a truth value is text here, as in Prometheus: `port: 9100`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Milliseconds = Annotated[int, BeforeValidator(_milliseconds)]
Text = Annotated[str, BeforeValidator(_plain)]


class BasicAuth(_Part):
    """HTTP basic authentication; `password_file` is read at every scrape."""

    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None


class Authorization(_Part):
    """The Authorization header; `credentials_file` is read at every scrape."""

    type: str = "Bearer"
    credentials: SecretStr = SecretStr("")
    credentials_file: Path | None = None


class TlsConfig(_Part):
    """TLS towards the targets."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    insecure_skip_verify: bool = False


class StaticConfig(_Part):
    """Targets by address, and labels for all of them."""

    targets: tuple[str, ...]
    labels: dict[str, Text] = {}


class FileSdConfig(_Part):
    """Files (globs) with lists of targets. `refresh_interval` is taken and not needed: changes are seen in seconds."""

    files: tuple[str, ...] = Field(min_length=1)
    refresh_interval: Milliseconds = 300_000


class ScrapeConfig(_Part):
    """One job. An interval or a timeout of 0 is the section's; limits of 0 are none."""

    job_name: str = Field(min_length=1)
    scrape_interval: Milliseconds = 0
    scrape_timeout: Milliseconds = 0
    metrics_path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, tuple[Text, ...]] = {}
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    static_configs: tuple[StaticConfig, ...] = ()
    file_sd_configs: tuple[FileSdConfig, ...] = ()
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig = TlsConfig()
    follow_redirects: bool = True
    relabel_configs: tuple[RelabelRule, ...] = ()
    metric_relabel_configs: tuple[RelabelRule, ...] = ()
    sample_limit: int = Field(default=0, ge=0)
    label_limit: int = Field(default=0, ge=0)
    label_name_length_limit: int = Field(default=0, ge=0)
    label_value_length_limit: int = Field(default=0, ge=0)
    target_limit: int = Field(default=0, ge=0)
    body_size_limit: Annotated[int, BeforeValidator(_parse_size)] = Field(default=0, ge=0)
    enable_compression: bool = True
    scrape_protocols: tuple[ScrapeProtocol, ...] = ()
    fallback_scrape_protocol: ScrapeProtocol | None = None
    scrape_native_histograms: bool = False
    always_scrape_classic_histograms: bool = False
    extra_scrape_metrics: bool = False

    def __str__(self) -> str:
        return self.job_name

    @model_validator(mode="before")
    @classmethod
    def _refuse_not_served(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name in _NOT_SERVED:
                raise ValueError(f"{name}: {_NOT_SERVED[name]}")
            if str(name).endswith("_sd_configs") and name != "file_sd_configs":
                raise ValueError(f"{name}: targets come from static_configs and file_sd_configs")
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.basic_auth and self.authorization:
            raise ValueError("basic_auth and authorization exclude each other")
        if len(set(self.scrape_protocols)) < len(self.scrape_protocols):
            raise ValueError("scrape_protocols names a protocol twice")
        if self.scrape_timeout and self.scrape_interval and self.scrape_timeout > self.scrape_interval:
            raise ValueError("scrape_timeout is longer than scrape_interval")
        return self

    @property
    def protocols(self) -> tuple[ScrapeProtocol, ...]:
        """Formats by preference."""
        return self.scrape_protocols or (WITH_NATIVE if self.scrape_native_histograms else DEFAULT)


class ScrapeSettings(_Part):
    """What we scrape."""

    configs: tuple[ScrapeConfig, ...] = ()
    """Jobs, in Prometheus' `scrape_configs` format."""
    files: tuple[Path, ...] = ()
    """Files (globs) that hold `scrape_configs: [...]`, as Prometheus' `scrape_config_files`; read at the start."""
    tenant: str = "default"
    """Whose the scraped series are."""
    interval_s: float = Field(default=60.0, gt=0)
    """How often, where a job does not say: Prometheus' default."""
    timeout_s: float = Field(default=10.0, gt=0)
    """How long a scrape may take, where a job does not say; never longer than its interval."""
    concurrency: int = Field(default=500, ge=1)
    """Requests under way at once. A target that does not answer holds one until its timeout."""
    body_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """What one target may answer at most, unpacked, where a job says no less."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _check_names(self.configs)
        return self

    def jobs(self) -> tuple[ScrapeConfig, ...]:
        """All jobs, those of `files` read, defaults filled in. InvalidInput names the file and the key."""
        read = [config for pattern in self.files for file in _matching(str(pattern)) for config in _read(file)]
        every = (*self.configs, *read)
        try:
            _check_names(every)
        except ValueError as error:
            raise InvalidInput("config_invalid", str(error), where="scrape.files") from error
        return tuple(self._completed(config) for config in every)

    def _completed(self, config: ScrapeConfig) -> ScrapeConfig:
        interval = config.scrape_interval or round(self.interval_s * 1000)
        timeout = config.scrape_timeout or min(round(self.timeout_s * 1000), interval)
        body = min(config.body_size_limit or self.body_bytes, self.body_bytes)
        if timeout > interval:
            raise InvalidInput(
                "config_invalid", "scrape_timeout is longer than the interval", where=f"scrape job {config.job_name}"
            )
        return config.model_copy(
            update={"scrape_interval": interval, "scrape_timeout": timeout, "body_size_limit": body}
        )


def _check_names(configs: tuple[ScrapeConfig, ...]) -> None:
    seen = set()
    for config in configs:
        if config.job_name in seen:
            raise ValueError(f"two scrape jobs have the name {config.job_name!r}")
        seen.add(config.job_name)


def _matching(pattern: str) -> list[Path]:
    found = sorted(glob.glob(pattern))  # noqa: PTH207 - patterns may be absolute, which Path.glob refuses
    if not found and not glob.has_magic(pattern):
        raise InvalidInput("config_unreadable", "there is no such file", where=f"scrape.files {pattern}")
    return [Path(path) for path in found]


def _read(file: Path) -> list[ScrapeConfig]:
    where = f"scrape.files {file}"
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidInput("config_unreadable", f"more than {_MAX_FILE_BYTES} bytes", where=where)
        content = yaml.safe_load(file.read_text("utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput("config_unreadable", f"cannot read scrape jobs: {error}", where=where) from error
    if not isinstance(content, dict) or set(content) - {"scrape_configs"}:
        raise InvalidInput("config_invalid", "expected the one key scrape_configs", where=where)
    try:
        listed = _Listed.model_validate(content)
    except ValidationError as error:
        mistakes = [
            f"{'.'.join(map(str, part['loc']))}: {part['msg'].removeprefix('Value error, ')}" for part in error.errors()
        ]
        raise InvalidInput("config_invalid", "; ".join(mistakes), where=where) from error
    return [_beside(file, config) for config in listed.scrape_configs]


def _beside(file: Path, config: ScrapeConfig) -> ScrapeConfig:
    """Relative paths of targets begin where the file of the job is, as in Prometheus."""
    moved = [
        sd.model_copy(update={"files": tuple(str(file.parent / pattern) for pattern in sd.files)})
        for sd in config.file_sd_configs
    ]
    return config.model_copy(update={"file_sd_configs": tuple(moved)})


class _Listed(_Part):
    scrape_configs: tuple[ScrapeConfig, ...] = ()
