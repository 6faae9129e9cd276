"""Where settings come from: every setting by every source, and every mistake named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.config import otel
from gnomon.config.route import route
from gnomon.config.settings import ObservabilityConfig, TraceSettings, keys
from gnomon.config.sources import SERVER_PARTS, Sources, load, sources
from gnomon.errors import ConfigurationError, ObservabilityError
from gnomon_server.config import SDK_PARTS
from gnomon_server.config import Settings as ServerSettings
from gnomon_server.config import keys as server_keys
from gnomon_server.config import load as server_load

OF_A_SIGNAL = {
    "endpoint": ("http://c:1/x", "http://c:1/x"), "protocol": ("grpc", "grpc"), "headers": ("a=b", "a=***"),
    "compression": ("gzip", "gzip"), "timeout_s": ("2s", "2.0"), "certificate": ("ca", "ca"),
    "client_certificate": ("cc", "cc"), "client_key": ("ck", "ck"), "insecure": ("on", "true"),
    "queue_size": ("9", "9"), "batch_size": ("8", "8"), "schedule_s": ("100ms", "0.1"),
    "retry_max_elapsed_s": ("1m", "60.0"),
}  # fmt: skip
"""Text as in a variable, and as it is shown."""

VALUES = {
    "service.name": ("shop", "shop"), "service.version": ("1.4", "1.4"), "service.namespace": ("ns", "ns"),
    "service.environment": ("prod", "prod"), "service.instance_id": ("i-1", "i-1"),
    "service.resource_attributes": ("team=a%20b,zone=eu", "team=a b, zone=eu"),
    **{f"export.{key}": values for key, values in OF_A_SIGNAL.items()},
    **{f"export.{signal}.{key}": v for signal in ("traces", "metrics", "logs") for key, v in OF_A_SIGNAL.items()},
    "export.queue_bytes": ("64MiB", str(64 << 20)), "export.spool_dir": ("/var/spool/x", "/var/spool/x"),
    "export.spool_bytes": ("1GB", "1000000000"), "export.shutdown_timeout_s": ("2500ms", "2.5"),
    "traces.enabled": ("off", "false"), "traces.sampler": ("adaptive", "adaptive"),
    "traces.sampler_ratio": ("10%", "0.1"),
    "traces.sampler_per_second": ("7", "7.0"), "traces.keep_errors": ("no", "false"),
    "traces.keep_slower_than_s": ("1s", "1.0"), "traces.excluded_urls": ("/a.*, /b", "/a.*, /b"),
    "traces.propagators": ("b3,b3multi", "b3, b3multi"), "traces.baggage_as_attributes": ("user", "user"),
    "traces.attribute_count": ("64", "64"), "traces.attribute_value_chars": ("none", ""),
    "traces.event_count": ("1", "1"), "traces.link_count": ("2", "2"),
    "metrics.enabled": ("false", "false"), "metrics.interval_s": ("1m", "60.0"),
    "metrics.temporality": ("delta", "delta"),
    "metrics.namespace": ("astra", "astra"), "metrics.names": ("classic", "classic"), "metrics.path": ("/m", "/m"),
    "metrics.port": ("9464", "9464"), "metrics.address": ("::", "::"),
    "metrics.cardinality_limit": ("10", "10"), "metrics.exemplars": ("0", "false"),
    "metrics.process": ("0", "false"), "metrics.runtime": ("0", "false"), "metrics.host": ("1", "true"),
    "metrics.remote_write.url": ("http://p:9090/api/v1/write", "http://p:9090/api/v1/write"),
    "metrics.remote_write.headers": ("a=b", "a=***"), "metrics.remote_write.interval_s": ("30s", "30.0"),
    "metrics.remote_write.buffer_bytes": ("1MiB", str(1 << 20)),
    "logs.enabled": ("0", "false"), "logs.level": ("warn", "WARNING"), "logs.levels": ("a.b=debug", "a.b=DEBUG"),
    "logs.console": ("json", "json"), "logs.stream": ("STDOUT", "stdout"), "logs.ship": ("0", "false"),
    "logs.sampling": ("Security=1,debug=5%", "security=1.0, debug=0.05"),
    "logs.capture_stdlib": ("0", "false"),
    "logs.capture_structlog": ("0", "false"), "logs.capture_loguru": ("0", "false"),
    "logs.access_log": ("0", "false"), "logs.attribute_count": ("5", "5"), "logs.attribute_value_chars": ("6", "6"),
    "privacy.enabled": ("0", "false"), "privacy.policies": ("email=keep,ip=truncate", "email=keep, ip=truncate"),
    "privacy.secret_keys": ("dob", "dob"),
    "privacy.allowed_keys": ("order", "order"), "privacy.allowed_values": ("a@b.c", "a@b.c"),
    "privacy.allowed_patterns": (".*@b.c", ".*@b.c"), "privacy.pseudonym_key": ("s3cret-of-16-bytes", "***"),
    "stalls.enabled": ("0", "false"), "stalls.threshold_s": ("250ms", "0.25"),
    "issues.enabled": ("0", "false"), "issues.locals": ("0", "false"), "budget.max_overhead": ("50us", "50us"),
    "integrations": ("redis=off,grpc=on", "redis=false, grpc=true"), "disabled": ("true", "true"),
}  # fmt: skip


def variable(key: str) -> str:
    """The variable of a key."""
    return "GNOMON_" + key.upper().replace(".", "_")


def explained(config: ObservabilityConfig, key: str) -> tuple[str, str]:
    """Value as shown, and origin."""
    return next((value, origin) for name, value, origin in config.explain() if name == key)


def refused(**by: Any) -> str:
    """The text of the refusal."""
    with pytest.raises(ConfigurationError) as caught:
        load(by.pop("arguments", {}), environment=by.pop("environment", {}), **by)
    return str(caught.value)


def test_the_table_is_whole() -> None:
    """Every setting is in the table below, and each value there differs from the default."""
    assert set(VALUES) == set(keys())
    defaults = {key: value for key, value, _ in ObservabilityConfig().explain()}
    same = {key for key, (_, shown) in VALUES.items() if shown == defaults[key]}
    assert same == set()


@pytest.mark.parametrize("key", VALUES)
def test_every_setting_by_every_source(key: str, tmp_path: Path) -> None:
    """Argument before variable before file before default, for each; and each says where it comes from."""
    text, shown = VALUES[key]
    path = tmp_path / "gnomon.json"
    path.write_text(json.dumps({key: text}))
    assert explained(load(environment={}, file=path), key) == (shown, f"file {path}")
    assert explained(load(environment={variable(key): text}), key) == (shown, f"env {variable(key)}")
    assert explained(load({key: text}, environment={}), key) == (shown, "argument")
    assert explained(load(environment={}), key)[1] == "default"
    other = {"traces.sampler": "ratio", "logs.level": "ERROR"}
    if key in other:
        both = load({key: text}, environment={variable(key): other[key]}, file=path)
        assert explained(both, key) == (shown, "argument")
        path.write_text(json.dumps({key: other[key]}))
        assert explained(load(environment={variable(key): text}, file=path), key) == (shown, f"env {variable(key)}")


OTEL = {
    "OTEL_SDK_DISABLED": ("TRUE", {"disabled": "true"}),
    "OTEL_RESOURCE_ATTRIBUTES": (
        "service.name=a,service.version=1,service.namespace=n,service.instance.id=i,deployment.environment.name=e,k=%C3%A9",
        {"service.name": "a", "service.version": "1", "service.namespace": "n", "service.instance_id": "i",
         "service.environment": "e", "service.resource_attributes": "k=é"},
    ),
    "OTEL_SERVICE_NAME": ("shop", {"service.name": "shop"}),
    **{
        f"OTEL_{kind}_{name}": (text, {f"export.{signal}.{key}": shown})
        for kind, signal in (("BSP", "traces"), ("BLRP", "logs"))
        for name, text, key, shown in (
            ("SCHEDULE_DELAY", "500", "schedule_s", "0.5"), ("EXPORT_TIMEOUT", "30000", "retry_max_elapsed_s", "30.0"),
            ("MAX_QUEUE_SIZE", "99", "queue_size", "99"), ("MAX_EXPORT_BATCH_SIZE", "7", "batch_size", "7"),
        )
    },
    **{
        f"OTEL_EXPORTER_OTLP_{signal}{name}": (text, {f"export.{signal.lower().replace('_', '.')}{key}": shown})
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name, text, key, shown in (
            ("ENDPOINT", "https://c:9/p", "endpoint", "https://c:9/p"), ("PROTOCOL", "grpc", "protocol", "grpc"),
            ("HEADERS", "Authorization=Basic%20x", "headers", "authorization=***"),
            ("COMPRESSION", "gzip", "compression", "gzip"), ("TIMEOUT", "2500", "timeout_s", "2.5"),
            ("CERTIFICATE", "c", "certificate", "c"), ("CLIENT_CERTIFICATE", "d", "client_certificate", "d"),
            ("CLIENT_KEY", "k", "client_key", "k"), ("INSECURE", "true", "insecure", "true"),
        )
    },
    "OTEL_TRACES_EXPORTER": ("console", {"export.traces.protocol": "console"}),
    "OTEL_METRICS_EXPORTER": ("prometheus", {"export.metrics.protocol": "none"}),
    "OTEL_LOGS_EXPORTER": ("none", {"export.logs.protocol": "none"}),
    "OTEL_TRACES_SAMPLER": ("parentbased_traceidratio", {"traces.sampler": "parentbased_ratio"}),
    "OTEL_TRACES_SAMPLER_ARG": ("0.25", {"traces.sampler_ratio": "0.25"}),
    "OTEL_PROPAGATORS": ("b3, baggage", {"traces.propagators": "b3, baggage"}),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": (
        "99", {"traces.attribute_value_chars": "99", "logs.attribute_value_chars": "99"},
    ),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": ("9", {"traces.attribute_count": "9", "logs.attribute_count": "9"}),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("98", {"traces.attribute_value_chars": "98"}),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ("8", {"traces.attribute_count": "8"}),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": ("7", {"traces.event_count": "7"}),
    "OTEL_SPAN_LINK_COUNT_LIMIT": ("6", {"traces.link_count": "6"}),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": ("97", {"logs.attribute_value_chars": "97"}),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": ("5", {"logs.attribute_count": "5"}),
    **{
        f"OTEL_PYTHON_{of}EXCLUDED_URLS": ("probe,/x", {"traces.excluded_urls": "probe, /x"})
        for of in ("", "ASGI_", "STARLETTE_", "FASTAPI_")
    },
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ("redis, Requests", {"integrations": "redis=false, requests=false"}),
    "OTEL_METRIC_EXPORT_INTERVAL": ("60000", {"metrics.interval_s": "60.0"}),
    "OTEL_METRIC_EXPORT_TIMEOUT": ("3000", {"export.metrics.retry_max_elapsed_s": "3.0"}),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": ("DELTA", {"metrics.temporality": "delta"}),
    "OTEL_METRICS_EXEMPLAR_FILTER": ("always_off", {"metrics.exemplars": "false"}),
    "OTEL_EXPORTER_PROMETHEUS_PORT": ("9464", {"metrics.port": "9464"}),
    "OTEL_EXPORTER_PROMETHEUS_HOST": ("0.0.0.0", {"metrics.address": "0.0.0.0"}),
    "OTEL_PYTHON_LOG_LEVEL": ("debug", {"logs.level": "DEBUG"}),
    "OTEL_LOG_LEVEL": ("error", {"logs.levels": "gnomon=ERROR"}),
}  # fmt: skip


def test_the_standard_is_whole() -> None:
    """Every standard variable that is read is in the table below."""
    assert set(OTEL) == set(otel.VARIABLES)


@pytest.mark.parametrize("name", OTEL)
def test_every_standard_variable(name: str, tmp_path: Path) -> None:
    """It means these settings and no others, before the file and after our own variable."""
    text, expected = OTEL[name]
    config = load(environment={name: text})
    assert config.remarks == ()
    found = {key: value for key, value, origin in config.explain() if origin != "default"}
    assert found == expected
    assert {config.origins[key] for key in expected} == {f"env {name}"}
    key = next(iter(expected))
    path = tmp_path / "gnomon.json"
    path.write_text(json.dumps({key: VALUES[key][0]}))
    assert config.origins[key] in load(environment={name: text}, file=path).origins[key]
    ours = load(environment={name: text, variable(key): VALUES[key][0]})
    assert variable(key) in ours.origins[key]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_SDK_DISABLED", "yes"), ("OTEL_RESOURCE_ATTRIBUTES", "a"), ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "10"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"), ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_LOGS_EXPORTER", "prometheus"), ("OTEL_TRACES_SAMPLER", "xray"), ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_PROPAGATORS", "xray"), ("OTEL_METRICS_EXEMPLAR_FILTER", "x"), ("OTEL_PYTHON_EXCLUDED_URLS", "("),
    ],
)  # fmt: skip
def test_standard_values_out_of_range(name: str, text: str) -> None:
    """They are passed over with a remark that names the variable, as the standard asks; the default holds."""
    config = load(environment={name: text})
    assert config.origins == {}
    (remark,) = config.remarks
    assert remark.startswith(f"{name} is passed over: ")


@pytest.mark.parametrize("text", ["otlp", "otlp,prometheus"])
def test_an_exporter_that_changes_nothing(text: str) -> None:
    """OTLP is what is done anyway, and scrapes are answered beside it."""
    config = load(environment={"OTEL_METRICS_EXPORTER": text})
    assert (config.origins, config.remarks) == ({}, ())


def test_the_service_name_goes_before_the_attributes() -> None:
    """As the standard has it."""
    both = {"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}
    assert load(environment=both).service.name == "a"


def test_maps_are_merged() -> None:
    """Key by key, the higher source first; each source is named."""
    environment = {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b=2", "GNOMON_SERVICE_RESOURCE_ATTRIBUTES": "b=3"}
    config = load({"service": {"resource_attributes": {"c": "4"}}}, environment=environment)
    assert config.service.resource_attributes == {"a": "1", "b": "3", "c": "4"}
    origins = "env OTEL_RESOURCE_ATTRIBUTES; env GNOMON_SERVICE_RESOURCE_ATTRIBUTES; argument"
    assert config.origins["service.resource_attributes"] == origins


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", '[traces]\nsampler = "ratio"\n[logs.levels]\n"a.b" = "debug"\n'),
        (".json", '{"traces": {"sampler": "ratio"}, "logs": {"levels": {"a.b": "debug"}}}'),
        (".yaml", "traces:\n  sampler: ratio\nlogs:\n  levels: {a.b: debug}\n"),
        (".yml", "traces.sampler: ratio\nlogs.levels: a.b=debug\n"),
    ],
)
def test_formats(suffix: str, text: str, tmp_path: Path) -> None:
    """Three formats, nested or by dotted keys, named by GNOMON_CONFIG."""
    path = (tmp_path / "gnomon").with_suffix(suffix)
    path.write_text(text)
    config = load(environment={"GNOMON_CONFIG": str(path)})
    assert config.traces.sampler == "ratio"
    assert config.logs.levels == {"a.b": "DEBUG"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.toml", b"x = ", "is not TOML"),
        ("a.json", b"{", "is not JSON"),
        ("a.yaml", b"{", "is not YAML"),
        ("a.json", b"[1]", "is not a table of settings"),
        ("a.json", b"\xff", "cannot be read"),
        ("a.ini", b"", "Name it .toml, .json or .yaml"),
    ],
)
def test_files_that_are_none(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    """The file is named, and what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)
    text = refused(file=path)
    assert str(path) in text
    assert says in text


def test_no_file(tmp_path: Path) -> None:
    """A file that was asked for must be there."""
    assert "cannot be read" in refused(environment={"GNOMON_CONFIG": str(tmp_path / "none.toml")})


def test_an_empty_yaml(tmp_path: Path) -> None:
    """It sets nothing."""
    path = tmp_path / "a.yaml"
    path.write_text("# nothing\n")
    assert load(environment={}, file=path).origins == {}


def test_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install, or what to write instead."""
    path = tmp_path / "a.yaml"
    path.write_text("{}")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "Install gnomon[yaml], or write TOML" in refused(file=path)


def test_an_out_of_range_port() -> None:
    """CFG-02: the error names the field, the value, the variable and what is allowed."""
    text = refused(environment={"GNOMON_METRICS_PORT": "70000"})
    assert "metrics.port = '70000' (env GNOMON_METRICS_PORT): should be less than or equal to 65535" in text


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Of every source, each on its line, with the nearest name where a name is wrong."""
    path = tmp_path / "gnomon.toml"
    path.write_text('[traces]\nsmapler = "ratio"\nsampler_ratio = 2\n[logs.levels]\n"a.b" = "loud"\n')
    environment = {"GNOMON_TRACES_SAMPLR": "x", "GNOMON_TRACE_SAMPLER": "x", "GNOMON_SERVICE_RESOURCE_ATTRIBUTES": "a"}
    arguments = {"disabeld": True, "stalls": {"threshold_s": "0s"}}
    text = refused(arguments=arguments, environment=environment, file=path)
    for line in (
        "has 8 mistakes:",
        "GNOMON_TRACES_SAMPLR (env): there is no such setting; did you mean GNOMON_TRACES_SAMPLER?",
        "GNOMON_TRACE_SAMPLER (env): there is no such setting; did you mean GNOMON_TRACES_SAMPLER?",
        "service.resource_attributes = 'a' (env GNOMON_SERVICE_RESOURCE_ATTRIBUTES): piece 1 is not key=value",
        f"traces.smapler (file {path}): there is no such setting; did you mean traces.sampler?",
        f"traces.sampler_ratio = 2 (file {path}): should be less than or equal to 1",
        f"logs.levels.a.b = 'loud' (file {path}): should be 'TRACE', 'DEBUG'",
        "stalls.threshold_s = '0s' (argument): should be greater than 0",
        "disabeld (argument): there is no such setting; did you mean disabled?",
    ):
        assert line in text, text


@pytest.mark.parametrize(
    "arguments",
    [
        {"export.headers": "authorization Bearer s3cret"},
        {"export.headers": {"authorization": "s3cret\nx: y"}},
        {"export": {"logs": {"headers": {"authorization": ["s3cret"]}}}},
        {"privacy": {"pseudonym_key": ["s3cret"]}},
        {"privacy": {"pseudonym_key": "s3cret"}},
        {"export.headers": ["s3cret"]},
        {"export.headers": "authorization: Bearer s3cret=="},
    ],
)
def test_secrets_stay_hidden(arguments: dict[str, Any]) -> None:
    """In refusals a secret is three stars."""
    text = refused(arguments=arguments)
    assert "= *** (argument)" in text
    assert "s3cret" not in text


def test_secrets_stay_hidden_in_settings() -> None:
    """And in what is printed and explained."""
    config = load(
        {"export.headers": "authorization=s3cret", "privacy.pseudonym_key": "s3cret-of-16-bytes"}, environment={}
    )
    assert "s3cret" not in repr(config) + str(config.explain()) + config.model_dump_json()
    assert config.export.headers["authorization"].get_secret_value() == "s3cret"


def test_secrets_from_files(tmp_path: Path) -> None:
    """`*_file` names a file that holds the secret; headers a line each."""
    (tmp_path / "headers").write_text("Authorization=Bearer%20x\nx-scope-orgid=acme\n")
    (tmp_path / "key").write_text("s3cret-of-16-bytes\n")
    environment = {
        "GNOMON_EXPORT_HEADERS_FILE": str(tmp_path / "headers"),
        "GNOMON_PRIVACY_PSEUDONYM_KEY_FILE": str(tmp_path / "key"),
    }  # fmt: skip
    config = load(environment=environment)
    headers = {name: value.get_secret_value() for name, value in config.export.headers.items()}
    assert headers == {"authorization": "Bearer x", "x-scope-orgid": "acme"}
    assert config.privacy.pseudonym_key is not None
    assert config.privacy.pseudonym_key.get_secret_value() == "s3cret-of-16-bytes"
    assert config.origins["export.headers"] == f"env GNOMON_EXPORT_HEADERS_FILE, file {tmp_path / 'headers'}"
    text = refused(arguments={"privacy.pseudonym_key_file": str(tmp_path / "none")})
    assert "privacy.pseudonym_key_file = " in text
    assert "the secret cannot be read" in text


def test_the_servers_variables_are_not_ours() -> None:
    """Server and SDK share the prefix: what the server reads never breaks a service beside it."""
    names = {variable(key): "x" for key in server_keys()}
    names |= dict.fromkeys(("GNOMON_API", "GNOMON_TOKEN", "GNOMON_TENANT", "GNOMON_CORPORA", "GNOMON_WHATEVER"), "x")
    assert load(environment=names).origins == {}


def test_the_servers_parts_are_known(tmp_path: Path) -> None:
    """The list of its first words is its own, none is a part of ours, and they may stand in a file that both read."""
    assert set(ServerSettings.model_fields) == SERVER_PARTS
    assert set(ObservabilityConfig.model_fields) == SDK_PARTS
    assert SERVER_PARTS.isdisjoint(SDK_PARTS)
    path = tmp_path / "both.yaml"
    path.write_text("retention: {metrics: 3d}\ndata: here\nlogs: {level: ERROR}\n")
    assert load(environment={"GNOMON_CONFIG": str(path)}).logs.level == "ERROR"
    variables = {"GNOMON_TRACES_SAMPLER": "ratio", "GNOMON_DISABLED": "false"}
    assert server_load({}, variables, path).origins["data"] == f"file {path}"


def test_a_section_as_a_value(tmp_path: Path) -> None:
    """It is a mistake like others, also where another source sets something in that section."""
    path = tmp_path / "a.json"
    path.write_text('{"traces": 3, "stals": {"enabled": true}, "logs": {"level": {"a": 1}}}')
    text = refused(environment={"GNOMON_TRACES_SAMPLER": "ratio"}, file=path)
    assert f"traces = 3 (file {path}): should be a valid dictionary" in text
    assert f"stals.enabled (file {path}): there is no such setting; did you mean stalls.enabled?" in text
    assert f"logs.level.a (file {path}): there is no such setting; did you mean logs.level?" in text


def test_what_yaml_makes_of_words(tmp_path: Path) -> None:
    """A section without lines, a bare `off`, and a version that looks like a number."""
    path = tmp_path / "a.yaml"
    path.write_text("traces:\nlogs:\n  console: off\nservice:\n  version: 1.4\nmetrics:\n  port: null\n")
    config = load(environment={}, file=path)
    assert (config.logs.console, config.service.version, config.metrics.port) == ("off", "1.4", None)
    assert config.origins.keys() == {"logs.console", "service.version", "metrics.port"}


def test_empty_variables_are_not_set() -> None:
    """As the standard has it, for ours too."""
    config = load(environment={"OTEL_SERVICE_NAME": "", "GNOMON_SERVICE_NAME": " ", "GNOMON_CONFIG": ""})
    assert config.origins == {}


def test_directly() -> None:
    """Built without sources it knows its arguments, and refuses with our error."""
    config = ObservabilityConfig(traces=TraceSettings(sampler="always_off"))
    assert explained(config, "traces.sampler") == ("always_off", "argument")
    assert explained(config, "traces.sampler_ratio") == ("1.0", "default")
    with pytest.raises(ObservabilityError, match=r"metrics\.port = 65536 \(argument\)"):
        ObservabilityConfig.model_validate({"metrics": {"port": 65_536}})
    with pytest.raises(ObservabilityError, match="has a mistake"):
        ObservabilityConfig(service={"name": ""})
    with pytest.raises(ObservabilityError, match=r"trases \(argument\): there is no such setting; did you mean"):
        ObservabilityConfig(trases={})


NAMES = st.sampled_from([*keys(), "traces", "export.traces", "logs.levels.x", "nonsense", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES_OF_ANY_KIND = st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(NAMES | st.integers(), one))
VARIABLES = st.sampled_from([*otel.VARIABLES, *map(variable, keys())])
WRITTEN = st.text() | st.sampled_from(["none", "off", "a=b", "[1,2]", "{", '{"a": 1}', "http://[", "1e400", "9d", "2%"])


@given(st.dictionaries(NAMES, VALUES_OF_ANY_KIND, max_size=3), st.dictionaries(VARIABLES, WRITTEN, max_size=3))
def test_anything(arguments: dict[str, Any], environment: dict[str, str]) -> None:
    """Whatever is given, settings come of it that can be shown and used, or one ConfigurationError."""
    try:
        config = load(arguments, environment=environment)
    except ConfigurationError as error:
        assert "\n  - " in str(error)  # noqa: PT017 - either way is right
        return
    assert [key for key, _, _ in config.explain()] == list(keys())
    assert route(config.export, "traces").url


def test_parts_as_arguments() -> None:
    """A part that was built is taken for what was set in it, and leaves the rest to the others."""
    config = load({"traces": TraceSettings(sampler="ratio")}, environment={"GNOMON_TRACES_SAMPLER_RATIO": "0.5"})
    assert (config.traces.sampler, config.traces.sampler_ratio) == ("ratio", 0.5)


def test_a_level_of_another_type() -> None:
    """A list is no level."""
    assert "logs.level = [1] (argument): should be 'TRACE'" in refused(arguments={"logs.level": [1]})


def test_a_long_value_is_cut() -> None:
    """A refusal quotes what is needed to find the place."""
    text = refused(arguments={"logs.level": "x" * 1000})
    assert "xxx... (argument)" in text
    assert len(text) < 300


@pytest.mark.parametrize("address", ["http://user:pass@host:1", "http://host:99999", "http://", "gopher://x"])
def test_no_endpoint(address: str) -> None:
    """Addresses without host, with a wrong port or with credentials are refused."""
    text = refused(arguments={"export.endpoint": address})
    assert "export.endpoint = " in text
    assert "pass" not in text.replace("passed", "")


def test_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment it is the process's."""
    monkeypatch.setenv("GNOMON_SERVICE_NAME", "mine")
    assert sources().load().service.name == "mine"
    assert Sources().load().service.name == "unknown_service"


def test_import_is_light() -> None:
    """Importing the package and its components loads neither pydantic nor any setting."""
    code = "import sys, gnomon.components; print([m for m in sys.modules if 'pydantic' in m or 'gnomon.config' in m])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.strip() == "[]"
