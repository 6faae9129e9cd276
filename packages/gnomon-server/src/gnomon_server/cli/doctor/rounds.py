"""The doctor's rounds: the settings, the data, the machine, the running server, the path of a record, the senders."""

import http.client
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon_server import __version__
from gnomon_server.access.bind import is_loopback
from gnomon_server.cli.doctor import exporters, machine, setup, storage
from gnomon_server.cli.doctor.local import Process
from gnomon_server.cli.doctor.path import Way, follow
from gnomon_server.cli.doctor.report import Report
from gnomon_server.cli.wire import Answer, Target, ask, spoken_at, target_of, trusting
from gnomon_server.config import Listen, Loaded, Settings
from gnomon_server.selfmon.marks import Marks, started

_AGENT = "gnomon-doctor"
_READY = "/readyz"
_PORTS = {"otlp-grpc": 4317, "otlp-http": 4318, "http": 4319}


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options."""

    config_file: Path | None = None
    data: str | None = None
    pairs: tuple[str, ...] = ()
    api: str | None = None
    otlp_http: str | None = None
    otlp_grpc: str | None = None
    token: str | None = None
    tenant: str | None = None
    ca: Path | None = None

    def flags(self) -> dict[str, str]:
        """Settings given on the command line."""
        given = {key: value for key, _, value in (pair.partition("=") for pair in self.pairs)}
        return given | ({"data": self.data} if self.data else {})

    def headers(self) -> dict[str, str]:
        """What an application would send with each request."""
        found = {"User-Agent": f"{_AGENT}/{__version__}"}
        if self.token:
            found["Authorization"] = f"Bearer {self.token}"
        if self.tenant:
            found["X-Scope-OrgID"] = self.tenant
        return found


@dataclass(slots=True)
class Patient:
    """What is looked at: the settings where they are right, the data directory where it is here, the server's marks."""

    asked: Asked
    loaded: Loaded | None
    settings: Settings
    data: Path
    is_local: bool
    pid: int
    addresses: dict[str, Target]

    @property
    def api(self) -> Target | None:
        """Where the native API is."""
        return self.addresses.get("http")

    @property
    def ca(self) -> Path | None:
        """Whom an application trusts: as asked, else the server's own certificate where it is known."""
        own = self.settings.tls.cert if self.settings.tls is not None and self.is_local else None
        return self.asked.ca or own


def examine(asked: Asked) -> Report:
    """Look at everything; what cannot be looked at is skipped with its reason."""
    report = Report()
    steadiness = machine.Steadiness()
    loaded = setup.read_settings(asked.flags(), asked.config_file, report)
    patient = _find(asked, loaded)
    if patient.is_local:
        _look_at_setup(patient, report)
        _look_at_data(patient, report)
    status = _look_at_server(patient, report)
    machine.check_versions(status, report)
    if status:
        _follow_path(patient, report)
        _ask_server(patient, report)
    if patient.is_local:
        with report.guarded("exporters.environment"):
            exporters.check_environments(list(patient.addresses.values()), report)
    steadiness.check(report)
    return report


def _find(asked: Asked, loaded: Loaded | None) -> Patient:
    """The server that runs on the data directory, else the one at the addresses given or configured."""
    settings = loaded.settings if loaded else Settings()
    data = Path(asked.data) if asked.data else settings.data
    marks = Marks(data).read_running()
    pid = int(marks.get("pid", 0))
    # Another one has its id, perhaps, after a restart of the machine; in a container perhaps we ourselves.
    pid = pid if Process(pid).is_alive and started(pid) == marks.get("started") else 0
    addresses: dict[str, Target] = {}
    for name, listen in setup.listeners(settings).items():
        addresses[name] = target_of(name, str(listen), tls=settings.tls is not None, port=_PORTS[name])
    if pid:
        addresses = {
            name: target_of(name, f"{_bracketed(host)}:{port}", tls=bool(marks["tls"]), port=0)
            for name, (host, port) in marks["addresses"].items()
        }
    given = {"http": asked.api, "otlp-http": asked.otlp_http, "otlp-grpc": asked.otlp_grpc}
    for name, address in given.items():
        if address:
            tls = addresses[name].tls if name in addresses else False
            addresses[name] = target_of(name, address, tls=tls, port=_PORTS[name])
    elsewhere = asked.api is not None and not (asked.data or asked.config_file or asked.pairs or pid)
    is_far = elsewhere and not is_loopback(addresses["http"].host)
    if elsewhere and not is_far and addresses["http"].port != settings.listen.port:
        is_far = True  # another server of this machine: the settings at hand are not its
    if is_far:
        addresses = {name: target for name, target in addresses.items() if given[name]}
    return Patient(asked, loaded, settings, data, not is_far, pid, addresses)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# -- this machine


def _look_at_setup(patient: Patient, report: Report) -> None:
    settings, config_file = patient.settings, patient.asked.config_file
    if patient.loaded is None:
        report.skip("access", "the settings have mistakes")
        return
    with report.guarded("access"):
        setup.check_access(settings, config_file, report)
    if settings.tls is not None:
        hosts = [listen.host for listen in setup.listeners(settings).values()]
        with report.guarded("tls.certificate"):
            setup.check_certificate(settings.tls, hosts, report)


def _look_at_data(patient: Patient, report: Report) -> None:
    data, settings, pid = patient.data, patient.settings, patient.pid
    there = False
    with report.guarded("data.directory"):
        there = storage.check_directory(data, report)
    with report.guarded("disk"):
        storage.check_disk(data, settings.disk.reserve_bytes, report)
    if there and not settings.store.url:
        with report.guarded("data.lock"):
            storage.check_lock(data, pid, report)
        with report.guarded("engine.log"):
            storage.check_log(data, report)
    if pid:
        _check_no_rival(patient, report)
        if not settings.store.url:
            storage.check_engine(data, report)
        with report.guarded("files.limit"):
            machine.check_files(Process(pid), settings.limits.http.max_connections, report)
    elif there:
        storage.check_last_start(data, report)
    if not settings.store.url:
        with report.guarded("memory"):
            machine.check_memory(pid or os.getpid(), settings.engine.memory_bytes, report)


def _check_no_rival(patient: Patient, report: Report) -> None:
    """The server that is configured here cannot start while another one has its data directory."""
    origins = patient.loaded.origins if patient.loaded else {}
    keys = {"http": "listen", "otlp-grpc": "otlp.grpc", "otlp-http": "otlp.http"}
    for name, listen in setup.listeners(patient.settings).items():
        if keys[name] in origins and listen.port and not _is_at(patient.addresses.get(name), listen):
            what = f"{Process(patient.pid)} runs on {patient.data}, not at {keys[name]} {listen}"
            report.broken("data.lock", what, "stop that server, or give this one another --data")
            return


def _is_at(target: Target | None, listen: Listen) -> bool:
    return target is not None and target.port == listen.port


# -- the running server


def _look_at_server(patient: Patient, report: Report) -> dict[str, Any]:
    """Whether it runs and is ready; its status, empty when it does not answer."""
    api = patient.api
    if api is None:
        report.skip("server.running", "the API is off: it says nothing of itself")
        return {}
    answer = _get(patient, _READY)
    if answer is None:
        _tell_absent(patient, api, report)
        return {}
    report.ok("server.running", f"{api.url}" + (f", process {patient.pid}" if patient.pid else ""))
    reason = answer.json().get("reason", "")
    if reason:
        cure = "see engine.answers, disk.space and data.directory; it is ready again by itself when that is mended"
        report.broken("server.ready", f"not ready: {reason}", cure)
    elif answer.status != http.HTTPStatus.OK:
        report.broken("server.ready", f"HTTP status {answer.status}: {answer.letter.what}", answer.letter.hint)
    else:
        report.ok("server.ready", "accepts and commits")
    status = _get(patient, "/api/gnomon/v1/status")
    found = status.json() if status is not None and status.status == http.HTTPStatus.OK else {}
    return found or {"version": __version__}


def _tell_absent(patient: Patient, api: Target, report: Report) -> None:
    if patient.is_local and not patient.pid:
        listeners = setup.listeners(patient.settings) if patient.loaded else {}
        machine.check_ports(listeners, report)
        if report.healthy:
            what, cure = "nothing found keeps it from starting", "gnomon up"
        else:
            what, cure = "what is broken above keeps it from starting", "mend that, then gnomon up"
        report.broken("server.running", f"no server runs on {patient.data}: {what}", cure)
        return
    try:
        spoken = spoken_at(api)
    except OSError as error:
        spoken = str(error)
    cure = "see the server's log, or correct --api; with a certificate of your own --ca"
    report.broken("server.running", f"no answer of a Gnomon at {api.url}; there speaks: {spoken}", cure)


def _get(patient: Patient, path: str) -> Answer | None:
    """A page of the server; None when it does not answer."""
    api = patient.api
    if api is None:
        return None
    headers = patient.asked.headers()
    context = None
    if api.tls and (is_loopback(api.host) or path == _READY):
        context = ssl.create_default_context()
        # Whether applications trust it is the business of the checks `.tls`; here it is only asked how it is.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if not is_loopback(api.host):
            headers.pop("Authorization", None)  # not for whoever answers there
    try:
        context = trusting(patient.ca) if api.tls and context is None else context
        return ask(api, "GET", path, context, headers=headers)
    except (OSError, http.client.HTTPException):
        return None


def _follow_path(patient: Patient, report: Report) -> None:
    try:
        trusting(patient.ca)
    except OSError as error:
        cure = "give --ca the PEM file of the authorities that applications trust"
        report.broken("tls.authorities", f"{patient.ca} cannot be used: {error.strerror or error}", cure)
        return
    targets = [patient.addresses[name] for name in _PORTS if name in patient.addresses]
    follow(Way(targets, patient.api, patient.ca, patient.asked.headers()), report)


def _ask_server(patient: Patient, report: Report) -> None:
    """What only the server knows."""
    before_ns = time.time_ns()
    whoami = _get(patient, "/api/gnomon/v1/whoami")
    after_ns = time.time_ns()
    if whoami is not None and whoami.status == http.HTTPStatus.OK:
        machine.check_clock(whoami.json()["now_ns"], before_ns, after_ns, report)
        said = whoami.json()
        report.ok("access.token", f"{said['name']}, tenant {said['tenant']}, scopes {', '.join(said['scopes'])}")
    elif whoami is not None and whoami.status != http.HTTPStatus.NOT_FOUND:
        cure = "see access.tokens of the server; give it with --token"
        report.broken("access.token", f"{whoami.letter.what} [{whoami.letter.code}]", whoami.letter.hint or cure)
    sources = _get(patient, "/api/gnomon/v1/sources")
    if sources is not None and sources.status == http.HTTPStatus.OK:
        exporters.check_sources(sources.json()["sources"], report)
    else:
        report.skip("sources.silent", _unasked(sources, "to see the sources takes a token with the scope read"))
    diagnosis = _get(patient, "/api/gnomon/v1/diagnosis")
    if diagnosis is not None and diagnosis.status == http.HTTPStatus.OK:
        noted = diagnosis.json()
        exporters.check_turned_away(noted["turned_away"], _AGENT, noted["now_ns"], report)
        exporters.check_events(noted["warnings"], noted["now_ns"], report)
    else:
        report.skip("exporters", _unasked(diagnosis, "to see who is turned away takes a token with the scope admin"))


def _unasked(answer: Answer | None, what_it_takes: str) -> str:
    """Why the server did not say."""
    if answer is not None and answer.status == http.HTTPStatus.NOT_FOUND:
        return "the server is of a version that does not say"
    return what_it_takes if answer is not None else "the server did not answer"
