"""The path of a record, hop by hop: the sender's socket, the receivers, the queue, the commit, the row, the answer."""

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path

from gnomon_server.cli.doctor.report import Report
from gnomon_server.cli.doctor.telemetry import METRIC, Outcome, Probe, send_all
from gnomon_server.cli.wire import Answer, Letter, Target, ask, spoken_at, trusting

_VISIBLE_S = 5.0  # rows are there when they are acknowledged; with a spool, when it has drained
_SHARED = {"queue": "intake.queue", "commit": "intake.commit"}
_SEE_LOG = "see the server's log; `gnomon doctor` on its own machine looks further"
_CURES = {
    "token_missing": "OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer TOKEN' in the application; here --token TOKEN",
    "token_unknown": "give a token that stands in the server's access.tokens, exactly as written there",
    "scope_missing": "add the scope to the token in access.tokens, or use another token",
    "tenant_forbidden": "add the tenant to the token in access.tokens, or send X-Scope-OrgID of one of its tenants",
    "disk_full": "free space on the data directory's disk, or lower disk.budget_bytes; writing goes on by itself",
    "data_read_only": "remount the data directory's disk for writing, or mend its permissions; it goes on by itself",
    "queue_full": "senders come again by themselves; if it lasts, raise intake.queue_bytes or give the engine more",
    "tenant_queue_full": "one tenant sends more than its share: raise intake.tenant_queue_ratio, or send less",
    "time_in_future": "set this machine's clock, or the server's (NTP)",
    "no_answer": "the store hangs: see engine.answers, disk.sync and the server's log; restart it if it does not pass",
    "host_forbidden": "list the name under which you send in the server's access.web.hosts",
}


@dataclass(slots=True)
class Way:
    """Where and as whom the doctor goes."""

    targets: list[Target]
    api: Target | None
    ca: Path | None
    headers: dict[str, str] = field(default_factory=dict)

    def context(self) -> ssl.SSLContext:
        """What the application trusts."""
        return trusting(self.ca)


def follow(way: Way, report: Report) -> None:
    """Send on every receiver, then look for what was acknowledged."""
    probe = Probe()
    for target in way.targets:
        blocked = next((check for check in _SHARED.values() if report.is_broken(check)), None)
        if not _connect(target, way, report):
            continue
        if blocked:
            report.skip(f"{target.name}.receive", f"nothing more is sent: {blocked}")
        else:
            _send(probe, target, way, report)
    if any(probe.sent.values()):
        if not report.is_broken("intake.commit"):
            report.ok("intake.commit", f"{sum(probe.sent.values())} records acknowledged after their commit")
        _ask_back(probe, way, report)
    else:
        report.skip("store.rows", "nothing was acknowledged that could be looked for")


def _connect(target: Target, way: Way, report: Report) -> bool:
    check = f"{target.name}.connect"
    began = time.monotonic()
    try:
        socket.create_connection((target.host, target.port), 5).close()
    except OSError as error:
        cure = "start the server, switch the receiver on, or correct the endpoint; see also ports and firewalls"
        report.broken(check, f"{target}: {error.strerror or error}", cure)
        return False
    took_ms = (time.monotonic() - began) * 1000
    spoken = spoken_at(target)
    wanted = ("TLS with " if target.tls else "") + ("gRPC" if target.name == "otlp-grpc" else "HTTP")
    if spoken != wanted:
        report.broken(f"{target.name}.protocol", f"{target} speaks {spoken}, not {wanted}", _cure_of(spoken, wanted))
        return False
    report.ok(check, f"{target} accepts ({took_ms:.1f} ms) and speaks {spoken}")
    return not target.tls or _handshake(target, way, report)


def _cure_of(spoken: str, wanted: str) -> str:
    if spoken == "something else":
        return "another program listens there: see the ports, or correct the endpoint"
    if spoken.startswith("TLS") != wanted.startswith("TLS"):
        scheme = "https" if spoken.startswith("TLS") else "http"
        return f"write {scheme}:// in the endpoint" + ("" if spoken[-4:] == wanted[-4:] else ", and see the port")
    if spoken.endswith("gRPC"):
        return "this is the gRPC port: use the port of otlp.http (4318), or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    return "this is an HTTP port: use the port of otlp.grpc (4317), or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"


def _handshake(target: Target, way: Way, report: Report) -> bool:
    check = f"{target.name}.tls"
    context = way.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((target.host, target.port), 5) as connection,
            context.wrap_socket(connection, server_hostname=target.host) as secured,
        ):
            report.ok(check, f"{secured.version()}, certificate valid for {target.host}")
    except ssl.SSLCertVerificationError as error:
        report.broken(check, f"{target}: {error.verify_message}", _cure_of_certificate(error))
    except OSError as error:
        report.broken(
            check, f"{target}: {error}", "see tls.certificate; with tls.client_ca a client needs one of its own"
        )
    return not report.is_broken(check)


_NOT_TRUSTED = {18, 19, 20, 21}  # X509_V_ERR_..., x509_vfy.h: self-signed, in the chain, no issuer, first unverifiable
_NAME_ERRORS = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def _cure_of_certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _NOT_TRUSTED:
        return "give applications the authority (OTEL_EXPORTER_OTLP_CERTIFICATE=ca.pem); here --ca ca.pem"
    if error.verify_code in _NAME_ERRORS:
        return "send to a name that stands in the certificate, or have it issued for this one"
    return "renew the certificate in tls.cert and restart the server"


def _send(probe: Probe, target: Target, way: Way, report: Report) -> None:
    context = way.context() if target.tls else None
    outcomes = list(send_all(probe, target, context, way.ca, way.headers))
    bad = next((outcome for outcome in outcomes if outcome.hop), None)
    if bad is None or bad.hop in ("receive", *_SHARED):
        report.ok(f"{target.name}.authenticate", _as_whom(way))
    if bad is None or bad.hop in _SHARED:
        good = [outcome for outcome in outcomes if not outcome.hop]
        if good:
            slowest_ms = max(outcome.seconds for outcome in good) * 1000
            encodings = " and ".join(dict.fromkeys(outcome.encoding for outcome in good))
            report.ok(
                f"{target.name}.receive", f"{len(good)} requests in {encodings}, at most {slowest_ms:.0f} ms each"
            )
    if bad is not None:
        _tell(bad, target, report)


def _as_whom(way: Way) -> str:
    return "with the token" if "Authorization" in way.headers else "without a token"


def _tell(bad: Outcome, target: Target, report: Report) -> None:
    letter = bad.letter
    check = _SHARED.get(bad.hop, f"{target.name}.{bad.hop}")
    what = f"{bad.signal} in {bad.encoding} to {target}: {letter.what}" + (f" [{letter.code}]" if letter.code else "")
    report.broken(check, what, _cure(letter))


def _cure(letter: Letter) -> str:
    return _CURES.get(letter.code) or letter.hint or _SEE_LOG


# -- the way back


def _ask_back(probe: Probe, way: Way, report: Report) -> None:
    if way.api is None:
        report.skip("query.sql", "the API is off, or its address is not known: --api URL")
        return
    for check, step in (("store.rows", _rows), ("query.native", _native)):
        try:
            if not step(probe, way, way.api, report):
                return
        except (OSError, http.client.HTTPException) as error:
            report.broken(check, f"{way.api.url} does not answer: {error!r}", _SEE_LOG)
            return


_COUNTS = {
    "traces": "SELECT count() FROM spans WHERE trace_id = {trace:String} AND time > now() - 7200",
    "logs": "SELECT count() FROM logs WHERE trace_id = {trace:String} AND time > now() - 7200",
    "metrics": "SELECT count() FROM metrics WHERE metric = {metric:String} AND value = {value:Float64} "
    "AND time > now() - 7200",
}


def _rows(probe: Probe, way: Way, api: Target, report: Report) -> bool:
    """All rows by SQL. The query door is judged first: a question it does not answer says nothing of the rows."""
    missing: list[str] = []
    for signal, expected in probe.sent.items():
        deadline = time.monotonic() + _VISIBLE_S
        while True:
            answer = _sql(probe, way, api, _COUNTS[signal])
            if answer.status != http.HTTPStatus.OK:
                return _tell_query("query.sql", answer, report)
            found = int(answer.json()["rows"][0][0])
            if found >= expected or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if found != expected:
            missing.append(f"{signal}: {found} of {expected}")
    report.ok("query.sql", f"{api} answers SQL")
    if missing:
        cure = "see the server's log, gnomon_intake_dropped_total of /metrics, and the tenant that you ask for"
        report.broken("store.rows", f"acknowledged, but not there: {', '.join(missing)}", cure)
    else:
        report.ok("store.rows", f"{sum(probe.sent.values())} rows, each once (service gnomon-doctor)")
    return True


def _sql(probe: Probe, way: Way, api: Target, query: str) -> Answer:
    params = {"trace": probe.trace_id, "metric": METRIC, "value": probe.value}
    used = {name: value for name, value in params.items() if f"{{{name}:" in query}
    body = json.dumps({"query": query, "params": used, "format": "json"}).encode()
    headers = {**way.headers, "Content-Type": "application/json"}
    return ask(api, "POST", "/api/gnomon/v1/sql", _context(way, api), body, headers)


def _native(probe: Probe, way: Way, api: Target, report: Report) -> bool:
    """The same records as the console asks for them."""
    wanted = {
        f"/traces/{probe.trace_id}": ("spans", probe.sent["traces"]),
        f"/logs?trace_id={probe.trace_id}": ("logs", probe.sent["logs"]),
        "/metrics": ("metrics", min(1, probe.sent["metrics"])),
    }
    for path, (name, expected) in wanted.items():
        answer = ask(api, "GET", f"/api/gnomon/v1{path}", _context(way, api), headers=way.headers)
        if answer.status != http.HTTPStatus.OK:
            return _tell_query("query.native", answer, report)
        rows = answer.json()[name]
        found = sum(row.get("metric") == METRIC for row in rows) if name == "metrics" else len(rows)
        if found < expected:
            report.broken("query.native", f"{path} shows {found} of {expected} records", _SEE_LOG)
            return False
    report.ok("query.native", "the console's API shows the trace, its logs and the metric")
    return True


def _tell_query(check: str, answer: Answer, report: Report) -> bool:
    letter = answer.letter
    what = f"{letter.what} [{letter.code}]"
    if answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        cure = "applications need no more; to follow the records to their answer give a token with read as well"
        report.warn("query.authenticate", what, cure)
    else:
        report.broken(check, what, _cure(letter))
    return False


def _context(way: Way, api: Target) -> ssl.SSLContext | None:
    return way.context() if api.tls else None
