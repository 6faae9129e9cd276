"""Who sends in vain, who has stopped, whose clock is off: as the server has noted, and as processes here are told."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gnomon_server.cli.doctor.local import Process, own_addresses, processes
from gnomon_server.cli.doctor.report import Report
from gnomon_server.cli.wire import Target

_RECENT_S = 900.0  # who was turned away before that has been mended, or has given up
_AHEAD_S, _BEHIND_S = 5.0, 900.0  # batches wait some seconds with their sender; more than minutes is no batching
_TELLING_EVENTS_S = 3600.0
_SHOWN = 5
_SIGNALS = ("TRACES", "METRICS", "LOGS")

# reason -> (check, the cure); what is not here stands under exporters.refused with its own name.
_PROTOCOL, _ENCODING, _ACCESS = "exporters.protocol", "exporters.encoding", "exporters.access"
_GRPC_PORT = "it speaks gRPC: give it the port of otlp.grpc (4317), or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
_WHOLE_PATH = "give it the endpoint without a path, or the whole one, ending in /v1/traces, /v1/metrics or /v1/logs"
_BODIES = "its bodies are no OTLP: see its Content-Type, Content-Encoding, and what stands between"
_REASONS = {
    "grpc_on_http_port": (_PROTOCOL, _GRPC_PORT),
    "tls_on_plain_port": (_PROTOCOL, "it speaks TLS: write http:// in its endpoint, or set tls.cert and tls.key here"),
    "plain_on_tls_port": (_PROTOCOL, "it speaks without TLS: write https:// in its endpoint"),
    "tls_refused": (_PROTOCOL, "it does not trust our certificate: OTEL_EXPORTER_OTLP_CERTIFICATE=ca.pem there"),
    "http_malformed": (_PROTOCOL, "it speaks no HTTP: see what runs there and where it is told to send"),
    "grpc_method_unknown": (_PROTOCOL, "it calls a gRPC service that is not OTLP: use an OTLP exporter"),
    "otlp_wrong_path": ("exporters.path", _WHOLE_PATH),
    "json_as_protobuf": (_ENCODING, "it sends JSON under protobuf's name: Content-Type: application/json"),
    "protobuf_as_json": (_ENCODING, "it sends protobuf under JSON's name: Content-Type: application/x-protobuf"),
    "undecodable_protobuf": (_ENCODING, _BODIES),
    "undecodable_json": (_ENCODING, "its bodies are no OTLP/JSON: ids in hex, 64-bit integers as text"),
    "media_type": (_ENCODING, "its Content-Type must be application/x-protobuf or application/json"),
    "token_missing": (_ACCESS, "give it a token: OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer TOKEN'"),
    "token_unknown": (_ACCESS, "its token is not in access.tokens"),
    "scope_missing": (_ACCESS, "its token lacks the scope ingest"),
    "tenant_forbidden": (_ACCESS, "its token is not for the tenant in X-Scope-OrgID"),
    "host_forbidden": (_ACCESS, "list the name that it sends to in access.web.hosts"),
}
_UNSERVED_CURE = "this API is not served: send OTLP (a Collector or Alloy receives the one and exports the other)"
# Anybody's browser or scanner does that; a record lost to it is not proven.
_ONLY_ODD = {"http_malformed", "host_forbidden", "token_missing", "tls_refused"}


def check_turned_away(entries: Iterable[Mapping[str, Any]], own: str, now_ns: int, report: Report) -> None:
    """Name each sender whose telemetry is refused for what it is.

    `own`: the doctor's agent, which does not count. `now_ns`: by the server's clock, as the entries are.
    """
    recent = [
        entry for entry in entries if now_ns - entry["last_ns"] < _RECENT_S * 1e9 and not entry["agent"].startswith(own)
    ]
    shown: Counter[str] = Counter()
    for entry in recent:
        check, cure = _judged(entry["reason"])
        shown[check] += 1
        if shown[check] <= _SHOWN:
            tell = report.warn if entry["reason"] in _ONLY_ODD else report.broken
            tell(check, _told(entry, now_ns), cure)
    if not recent:
        report.ok("exporters", f"nobody was turned away in the last {_RECENT_S / 60:.0f} min")


def _judged(reason: str) -> tuple[str, str]:
    """The check and the cure of a reason."""
    if reason.endswith("_unserved"):
        return "exporters.unserved", _UNSERVED_CURE
    return _REASONS.get(reason, ("exporters.refused", "its own log has our answer, which names the cure"))


def _told(entry: Mapping[str, Any], now_ns: int) -> str:
    who = entry["peer"] or "somebody"
    if entry["agent"]:
        who += f" ({entry['agent']})"
    ago_s = (now_ns - entry["last_ns"]) / 1e9
    times = f"{entry['count']} times, last {ago_s:.0f} s ago"
    return f"{who} at {entry['listener']}: {entry['reason']}, {times}: {entry['seen']}"


def check_environments(targets: Sequence[Target], report: Report) -> None:
    """Processes of this machine whose OTEL_ variables point at us in the wrong way.

    It is the only trace of an exporter that speaks HTTP/1.1 to the gRPC port: gRPC drops such connections in silence.
    """
    ports = {target.port: target for target in targets}
    ours = own_addresses()
    looked_at = 0
    told: set[tuple[str, str]] = set()
    for process in (Process(os.getpid()), *processes()):
        variables = process.environment()
        for name, endpoint, protocol in _endpoints(variables):
            try:
                parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
                host, port = (parts.hostname or "").lower(), parts.port
            except ValueError:  # no address at all, so not ours
                continue
            if host not in ours or port not in ports:
                continue
            looked_at += 1
            wrong = _wrong(ports[port], parts.scheme, parts.path, protocol, name)
            if wrong and (endpoint, wrong[0]) not in told:
                told.add((endpoint, wrong[0]))
                shown = endpoint.rpartition("@")[2]  # without a user's password
                report.warn("exporters.environment", f"{process}: {name}={shown} {wrong[0]}", wrong[1])
    if not told:
        report.ok("exporters.environment", f"{looked_at} OTEL_ endpoints of processes here point at us, none wrongly")


def _endpoints(variables: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    """Name, endpoint and protocol of each exporter that the variables describe."""
    protocol = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", *(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in _SIGNALS)):
        if variables.get(name):
            own = variables.get(name.replace("_ENDPOINT", "_PROTOCOL"), protocol)
            yield name, variables[name], own


def _wrong(target: Target, scheme: str, path: str, protocol: str, name: str) -> tuple[str, str] | None:
    is_grpc = target.name == "otlp-grpc"
    if protocol == "grpc" and not is_grpc:
        return "sends gRPC to an HTTP port", "use the port of otlp.grpc, or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    if protocol.startswith("http/") and is_grpc:
        return f"sends {protocol} to the gRPC port", "use the port of otlp.http, or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    if scheme in ("http", "https") and (scheme == "https") != target.tls:
        right = "https" if target.tls else "http"
        return f"says {scheme}://, and the port speaks {right}", f"write {right}:// in {name}"
    if not is_grpc and path.rstrip("/") and (name == "OTEL_EXPORTER_OTLP_ENDPOINT"):
        return f"has the path {path}, to which /v1/... is added", "leave the path out"
    if not is_grpc and name != "OTEL_EXPORTER_OTLP_ENDPOINT" and path not in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        return f"has the path {path or '/'}, which is used as it is", "end it in /v1/traces, /v1/metrics or /v1/logs"
    return None


def check_sources(sources: Sequence[Mapping[str, Any]], report: Report) -> None:
    """Who has stopped sending, and whose clock is off."""
    silent = [source for source in sources if source["state"] == "silent"]
    for source in silent[:_SHOWN]:
        what = (
            f"{_name(source)} is silent for {source['silent_for_s']:.0f} s "
            f"(it used to send each {source['typical_interval_s']:.1f} s)"
        )
        report.warn("sources.silent", what, "see whether it runs, and its exporter's log; `gnomon sources` lists all")
    if len(silent) > _SHOWN:
        report.warn("sources.silent", f"and {len(silent) - _SHOWN} more", "gnomon sources --state silent")
    if not silent:
        report.ok("sources.silent", f"{len(sources)} sources known, none has stopped")
    skewed = [source for source in sources if not -_BEHIND_S <= source["clock_offset_s"] <= _AHEAD_S]
    for source in skewed[:_SHOWN]:
        offset_s = source["clock_offset_s"]
        which = "ahead of ours" if offset_s > 0 else "behind ours (or it sends what is old)"
        cure = "set the clock of its machine (NTP); records further ahead than limits.future_s are refused"
        report.warn("clock.senders", f"the newest record of {_name(source)} is {abs(offset_s):.0f} s {which}", cure)
    if not skewed:
        report.ok("clock.senders", f"{len(sources)} sources stamp their records with about the time it is")


def _name(source: Mapping[str, Any]) -> str:
    return f"{source['signal']} of {source['service']}" + (f" {source['instance']}" if source["instance"] else "")


_EVENT_CURES = {
    "engine_died": "see engine.log and the memory; if it is the kernel's doing, lower engine.memory_bytes",
    "engine_not_restarted": "see engine.start, data.directory and engine.log",
    "engine_hung": "see disk.sync, engine.log and the memory",
    "retention_failed": "free space, raise disk.budget_bytes, or keep less (retention.*)",
    "spool_started": "see whether the ClickHouse of store.url answers",
    "spool_set_aside": "look at the file; it was refused or damaged",
    "not_ready": "see why the server did not accept or commit then",
    "request_failed": "a fault of ours: the server's log has it",
    "own_telemetry_lost": "see why nothing could be committed then",
    "sources_unsaved": "see data.directory and disk.space",
    "backup_failed": "see its reason, mend it, and run `gnomon backup` again",
    "rolled_back": "the data is as it was; start the version before this one, and report this",
}


def check_events(warnings: Sequence[Mapping[str, Any]], now_ns: int, report: Report) -> None:
    """What the server itself has warned of in the last hour, by its own clock."""
    latest: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for event in warnings:
        if event["name"] != "source_silent" and now_ns - event["at_ns"] < _TELLING_EVENTS_S * 1e9:
            latest[event["name"]] = latest.get(event["name"], (0, event))[0] + 1, event
    for name, (count, event) in latest.items():
        ago_s = (now_ns - event["at_ns"]) / 1e9
        what = f"{name} {event['detail']}: {count} times in the last hour, last {ago_s:.0f} s ago"
        report.warn(f"events.{name}", what, _EVENT_CURES.get(name, "the server's log has what came before it"))
    if not latest:
        report.ok("events", "no warning of the server in the last hour")
