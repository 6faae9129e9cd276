"""The standard's variables, `OTEL_*`, as our settings: a table, name by name.

The standard asks that a value which cannot be used is warned of and passed over; our own names are stricter.
Where two variables set one key the later in the table counts.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gnomon.config.units import read_pairs

Read = Callable[[str], dict[str, Any]]
"""A variable's text to the settings it means. ValueError says why it cannot be used."""

_LIFTED = {
    "service.name": "service.name", "service.version": "service.version", "service.namespace": "service.namespace",
    "service.instance.id": "service.instance_id", "deployment.environment": "service.environment",
    "deployment.environment.name": "service.environment",
}  # fmt: skip
_SIGNALS = {"": "export", "TRACES_": "export.traces", "METRICS_": "export.metrics", "LOGS_": "export.logs"}


def _to(*keys: str, read: Callable[[str], Any] = str) -> Read:
    return lambda text: dict.fromkeys(keys, read(text))


def _listed(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def _ms(text: str) -> float:
    return float(text) / 1000


def _resource(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    further: dict[str, str] = {}
    for key, value in read_pairs(text).items():
        if key in _LIFTED:
            settings[_LIFTED[key]] = value
        else:
            further[key] = value
    return settings | ({"service.resource_attributes": further} if further else {})


def _sampler(text: str) -> str:
    return text.strip().lower().replace("traceidratio", "ratio")


def _protocol(text: str) -> str:
    if text.strip().lower() == "http/json":
        raise ValueError("OTLP as JSON is not sent; http/protobuf is")
    return text.strip().lower()


def _exporter(signal: str) -> Read:
    """`otlp` leaves the protocol to its own variable; `prometheus` is the scrape that is answered anyway."""

    def read(text: str) -> dict[str, Any]:
        named = _listed(text)
        if named == ["otlp"] or (signal == "metrics" and set(named) == {"otlp", "prometheus"}):
            return {}
        if named == ["prometheus"] and signal == "metrics":
            named = ["none"]
        if named not in (["none"], ["console"], ["logging"]):
            raise ValueError("one of otlp, console, none, and for metrics prometheus, is known")
        return {f"export.{signal}.protocol": "none" if named == ["none"] else "console"}

    return read


def _exemplars(text: str) -> bool:
    known = {"trace_based": True, "always_off": False}
    if text.strip().lower() not in known:
        raise ValueError("trace_based and always_off are known")
    return known[text.strip().lower()]


def _instrumentations(text: str) -> dict[str, bool]:
    return dict.fromkeys(_listed(text), False)


def _true(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError("true and false are known")
    return text.strip().lower() == "true"


def _of_signal(name: str, part: str) -> Mapping[str, Read]:
    start = f"OTEL_EXPORTER_OTLP_{name}"
    return {
        f"{start}ENDPOINT": _to(f"{part}.endpoint"),
        f"{start}PROTOCOL": _to(f"{part}.protocol", read=_protocol),
        f"{start}HEADERS": _to(f"{part}.headers", read=read_pairs),
        f"{start}COMPRESSION": _to(f"{part}.compression"),
        f"{start}TIMEOUT": _to(f"{part}.timeout_s", read=_ms),
        f"{start}CERTIFICATE": _to(f"{part}.certificate"),
        f"{start}CLIENT_CERTIFICATE": _to(f"{part}.client_certificate"),
        f"{start}CLIENT_KEY": _to(f"{part}.client_key"),
        f"{start}INSECURE": _to(f"{part}.insecure", read=_true),
    }


def _of_queue(start: str, part: str) -> Mapping[str, Read]:
    return {
        f"{start}_SCHEDULE_DELAY": _to(f"{part}.schedule_s", read=_ms),
        f"{start}_EXPORT_TIMEOUT": _to(f"{part}.retry_max_elapsed_s", read=_ms),
        f"{start}_MAX_QUEUE_SIZE": _to(f"{part}.queue_size"),
        f"{start}_MAX_EXPORT_BATCH_SIZE": _to(f"{part}.batch_size"),
    }


VARIABLES: Mapping[str, Read] = {
    "OTEL_SDK_DISABLED": _to("disabled", read=_true),
    "OTEL_RESOURCE_ATTRIBUTES": _resource,
    "OTEL_SERVICE_NAME": _to("service.name"),
    **_of_queue("OTEL_BSP", "export.traces"),
    **_of_queue("OTEL_BLRP", "export.logs"),
    **{name: read for signal, part in _SIGNALS.items() for name, read in _of_signal(signal, part).items()},
    "OTEL_TRACES_EXPORTER": _exporter("traces"),
    "OTEL_METRICS_EXPORTER": _exporter("metrics"),
    "OTEL_LOGS_EXPORTER": _exporter("logs"),
    "OTEL_TRACES_SAMPLER": _to("traces.sampler", read=_sampler),
    "OTEL_TRACES_SAMPLER_ARG": _to("traces.sampler_ratio"),
    "OTEL_PROPAGATORS": _to("traces.propagators"),
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": _to("traces.attribute_value_chars", "logs.attribute_value_chars"),
    "OTEL_ATTRIBUTE_COUNT_LIMIT": _to("traces.attribute_count", "logs.attribute_count"),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": _to("traces.attribute_value_chars"),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": _to("traces.attribute_count"),
    "OTEL_SPAN_EVENT_COUNT_LIMIT": _to("traces.event_count"),
    "OTEL_SPAN_LINK_COUNT_LIMIT": _to("traces.link_count"),
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": _to("logs.attribute_value_chars"),
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": _to("logs.attribute_count"),
    "OTEL_PYTHON_EXCLUDED_URLS": _to("traces.excluded_urls"),
    "OTEL_PYTHON_ASGI_EXCLUDED_URLS": _to("traces.excluded_urls"),
    "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS": _to("traces.excluded_urls"),
    "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": _to("traces.excluded_urls"),
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": _to("integrations", read=_instrumentations),
    "OTEL_METRIC_EXPORT_INTERVAL": _to("metrics.interval_s", read=_ms),
    "OTEL_METRIC_EXPORT_TIMEOUT": _to("export.metrics.retry_max_elapsed_s", read=_ms),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _to("metrics.temporality", read=lambda text: text.lower()),
    "OTEL_METRICS_EXEMPLAR_FILTER": _to("metrics.exemplars", read=_exemplars),
    "OTEL_EXPORTER_PROMETHEUS_PORT": _to("metrics.port"),
    "OTEL_EXPORTER_PROMETHEUS_HOST": _to("metrics.address"),
    "OTEL_PYTHON_LOG_LEVEL": _to("logs.level"),
    "OTEL_LOG_LEVEL": _to("logs.levels", read=lambda text: {"gnomon": text}),
}
"""`OTEL_LOG_LEVEL` is the level of the SDK's own logger, as the standard says, and not the application's."""
