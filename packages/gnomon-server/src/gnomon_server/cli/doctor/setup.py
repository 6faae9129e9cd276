"""Settings, addresses, certificates and tokens: what is written down, looked at without the server."""

import os
import ssl
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gnomon_server.access.bind import check_bind, is_loopback
from gnomon_server.access.tokens import Tokens
from gnomon_server.cli.doctor.report import Report
from gnomon_server.cli.wire import certificate_in
from gnomon_server.config import Listen, Loaded, Settings, load
from gnomon_server.errors import GnomonError
from gnomon_server.transport.tls import TlsSettings, server_context

_EXPIRES_SOON_S = 14 * 86_400
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_settings(flags: Mapping[str, str], config_file: Path | None, report: Report) -> Loaded | None:
    """The settings as `gnomon up` would read them; None when they have mistakes, all of which are then named."""
    try:
        loaded = load(flags, os.environ, config_file)
    except GnomonError as error:
        mistakes = [line.strip(" -") for line in error.what.splitlines() if line.startswith("  - ")] or [str(error)]
        for mistake in mistakes:
            report.broken("config", mistake, "mend it in the place named; docs/settings.md lists every key")
        return None
    changed = len({key for key, origin in loaded.origins.items() if origin != "default"})
    report.ok("config", f"{changed} settings differ from their defaults" + (f" ({config_file})" if config_file else ""))
    return loaded


def listeners(settings: Settings) -> dict[str, Listen]:
    """The configured listeners, by the names the server gives them."""
    every = {"http": settings.listen, "otlp-grpc": settings.otlp.grpc, "otlp-http": settings.otlp.http}
    return {name: listen for name, listen in every.items() if listen}


def check_access(settings: Settings, config_file: Path | None, report: Report) -> None:
    """Whether the server may listen where it is told to, and who else can read its secrets."""
    tokens = Tokens.of(settings.access.tokens)
    for name, listen in listeners(settings).items():
        try:
            warning = check_bind((listen.host, listen.port), tokens, tls=settings.tls is not None)
        except GnomonError as error:
            report.broken("access.bind", f"{name}: {error.what}", error.hint)
            continue
        if warning:
            report.warn("access.bind", f"{name}: {warning}", "set tls.cert and tls.key, or listen on 127.0.0.1")
    exposed = [file for file in _secrets(settings, config_file) if _is_exposed(file)]
    for file in exposed:
        report.warn("access.secrets", f"{file} can be read by others on this machine", f"chmod 600 {file}")
    if not exposed:
        report.ok("access.secrets", f"{len(settings.access.tokens)} tokens; no secret can be read by others")


def _secrets(settings: Settings, config_file: Path | None) -> Iterator[Path]:
    """Files that hold a secret: the TLS key, `..._file`s, the configuration where secrets stand in it."""
    if settings.tls is not None:
        yield settings.tls.key
    if config_file is None:
        return
    named = list(_secret_entries(yaml.safe_load(config_file.read_text("utf-8"))))
    yield from (Path(str(value)) for key, value in named if key.endswith("_file"))
    if any(not key.endswith("_file") and not str(value).startswith("sha256:") for key, value in named):
        yield config_file


def _secret_entries(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _secret_entries(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("secret", "password", "secret_file", "password_file"):
                yield key, value
            else:
                yield from _secret_entries(value)


def _is_exposed(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & _OTHERS)
    except OSError:
        return False  # tls.certificate and config say that it is not there


def check_certificate(tls: TlsSettings, hosts: list[str], report: Report) -> None:
    """Whether certificate and key fit each other, the time, and the addresses that are listened on."""
    try:
        context = server_context(tls)
        said = certificate_in(context, tls.cert) if tls.client_ca is None else _without_clients(tls)
    except GnomonError as error:
        report.broken("tls.certificate", error.what, f"mend {error.where}")
        return
    except (ssl.SSLError, ValueError) as error:
        report.broken("tls.certificate", f"{tls.cert}: {error}", "issue a certificate for TLS servers, RSA 2048 or EC")
        return
    now = time.time()
    begins, ends = (ssl.cert_time_to_seconds(said[key]) for key in ("notBefore", "notAfter"))
    until = f"{tls.cert}: valid from {said['notBefore']} to {said['notAfter']}"
    if now > ends:
        report.broken("tls.certificate", f"{until}: it has expired", "renew it and restart the server")
    elif now < begins:
        report.broken("tls.certificate", f"{until}: not valid yet", "set the clock, or use a certificate that is valid")
    elif ends - now < _EXPIRES_SOON_S:
        report.warn(
            "tls.certificate", f"{until}: {(ends - now) / 86_400:.0f} days left", "renew it and restart the server"
        )
    else:
        report.ok("tls.certificate", f"{until}; the key fits")
    _check_names(said, hosts, report)


def _without_clients(tls: TlsSettings) -> dict[str, Any]:
    """What the certificate says, without the certificate that mutual TLS demands of us."""
    return certificate_in(server_context(tls.model_copy(update={"client_ca": None})), tls.cert)


def _check_names(said: dict[str, Any], hosts: list[str], report: Report) -> None:
    names = {str(value).lower() for _, value in said.get("subjectAltName", ())}
    if not names:
        report.warn("tls.names", "the certificate names no host", "issue one with a subjectAltName; clients demand it")
        return
    absent = [host for host in hosts if not is_loopback(host) and host not in ("0.0.0.0", "::") and host not in names]  # noqa: S104  (compared)
    if absent:
        report.warn(
            "tls.names", f"the certificate is for {', '.join(sorted(names))}, not for {', '.join(absent)}",
            "applications must send to a name that stands in it",
        )  # fmt: skip
    else:
        report.ok("tls.names", f"for {', '.join(sorted(names))}")
