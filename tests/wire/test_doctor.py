"""`gnomon doctor`: healthy systems are healthy, and each of many breakages made on purpose is named as what it is."""

import contextlib
import fcntl
import http.server
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tests import otlp
from tests.chaos import engine_socket
from tests.otlp import JSON, METHODS, PROTOBUF
from tests.server import Server
from tests.waiting import until

from gnomon_server.cli.doctor import rounds
from gnomon_server.cli.doctor.report import Report, State
from gnomon_server.cli.doctor.rounds import Asked, examine

TLS = Path(__file__).parents[1] / "cases" / "tls"
FREE = ("listen=127.0.0.1:0", "otlp.grpc=127.0.0.1:0", "otlp.http=127.0.0.1:0")
SECRET = "a-token-of-the-doctor-test"
OTHER = "another-token-of-the-test"


def tokens(*scopes: str, tenants: tuple[str, ...] = ("default",)) -> str:
    """One configured token, as a setting."""
    return "access.tokens=" + json.dumps(
        [{"name": "app", "secret": SECRET, "scopes": list(scopes), "tenants": list(tenants)}]
    )


@contextlib.contextmanager
def serving(*settings: str, folder: Path | None = None) -> Iterator[Server]:
    """A server with settings of its own."""
    with contextlib.ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-")))
        server = Server(home, tuple(word for setting in settings for word in ("--set", setting)))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def look(server: Server | Path, *settings: str, **asked: object) -> Report:
    """The doctor's report on a server, or on a data directory without one."""
    data = server.folder / "data" if isinstance(server, Server) else server
    if isinstance(server, Path) and not any(setting.startswith(("listen=", "otlp.")) for setting in settings):
        settings = (*FREE, *settings)
    return examine(Asked(data=str(data), pairs=settings, **asked))  # type: ignore[arg-type]  # options by name


def broken(report: Report) -> set[str]:
    """The checks that found something broken, but that a server without a start does not run."""
    return {found.check for found in report.findings if found.state is State.BROKEN} - {"server.running"}


def warned(report: Report) -> set[str]:
    """The checks that warn."""
    return {found.check for found in report.findings if found.state is State.WARNING}


def said(report: Report, check: str) -> str:
    """What a check says, with its cure."""
    return "\n".join(f"{found.what}\n{found.cure}" for found in report.findings if found.check == check)


@pytest.fixture(scope="module")
def healthy() -> Iterator[Server]:
    """A server at which nobody errs on purpose."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def visited() -> Iterator[Server]:
    """A server to which all kinds of senders come."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def secured() -> Iterator[Server]:
    """A server with TLS."""
    with serving(f"tls.cert={TLS / 'cert.pem'}", f"tls.key={TLS / 'key.pem'}") as server:
        yield server


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 200 MiB."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system takes root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


# -- healthy


def test_a_healthy_server(healthy: Server) -> None:
    """Nothing is broken, nothing warned of; every record of the doctor is followed to its answer on every way."""
    report = look(healthy)
    assert (broken(report), warned(report)) == (set(), set())
    good = {found.check for found in report.findings if found.state is State.OK}
    for receiver in ("otlp-grpc", "otlp-http", "http"):
        assert {f"{receiver}.connect", f"{receiver}.authenticate", f"{receiver}.receive"} <= good
    assert {"intake.commit", "store.rows", "query.sql", "query.native", "engine.answers", "exporters"} <= good
    assert "15 rows" in said(report, "store.rows")
    assert "listed" not in {source["service"] for source in healthy.get("/sources")["sources"]}
    assert "gnomon-doctor" not in {source["service"] for source in healthy.get("/sources")["sources"]}


def test_the_command(healthy: Server) -> None:
    """Lines with a sign each and exit code 0; `--json` says the same; from the API's address alone it works as well."""
    command = [sys.executable, "-m", "gnomon_server.cli", "doctor"]
    lines = subprocess.run(
        [*command, "--data", str(healthy.folder / "data")], capture_output=True, text=True, check=True
    )
    assert "✓ store.rows" in lines.stdout
    assert "0 broken, 0 warnings" in lines.stdout
    answer = subprocess.run([*command, "--api", healthy.api, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert found["healthy"] is True
    assert {"check": "query.native", "state": "ok"}.items() <= {
        key: value for check in found["checks"] if check["check"] == "query.native" for key, value in check.items()
    }.items()
    dead = subprocess.run([*command, "--api", "http://127.0.0.1:1"], capture_output=True, text=True, check=False)
    assert dead.returncode == 1
    assert "✗ server.running" in dead.stdout
    assert "cure:" in dead.stdout


def test_a_healthy_server_with_tls_and_tokens(tmp_path: Path) -> None:
    """Over TLS and with a token as an application has it: healthy too."""
    key = shutil.copy(TLS / "key.pem", tmp_path)
    Path(key).chmod(0o600)  # a checkout's is readable by all, which the doctor would say
    settings = (f"tls.cert={TLS / 'cert.pem'}", f"tls.key={key}", tokens("ingest", "read", "admin"))
    with serving(*settings) as server:
        report = look(server, *settings, token=SECRET, otlp_grpc=f"https://localhost:{server.otlp_grpc[10:]}")
        assert (broken(report), warned(report)) == (set(), set()), report.as_dict()
        assert "TLSv1.3" in said(report, "otlp-http.tls")


def test_a_server_that_was_never_started(tmp_path: Path) -> None:
    """The only finding is that it does not run, and the cure is to start it."""
    report = look(tmp_path / "none")
    assert broken(report) == set()
    assert "gnomon up" in said(report, "server.running")


# -- settings


def test_mistakes_in_the_settings(tmp_path: Path) -> None:
    """Every mistake of the file is named with its key."""
    file = tmp_path / "gnomon.yaml"
    file.write_text("retentoin: {traces: 3d}\nlisten: nowhere\nlimits: {tenants: -1}\n")
    report = examine(Asked(data=str(tmp_path / "d"), config_file=file))
    assert "config" in broken(report)
    for word in ("retentoin", "listen", "limits.tenants"):
        assert word in said(report, "config")


def test_a_bind_without_a_token(tmp_path: Path) -> None:
    """A server that other machines reach, and nobody to tell apart."""
    assert broken(look(tmp_path, "listen=0.0.0.0:0", *FREE[1:])) == {"access.bind"}


def test_secrets_that_others_can_read(tmp_path: Path) -> None:
    """A file with a token's secret that is open to the world is warned of."""
    secret = tmp_path / "token"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    file = tmp_path / "gnomon.yaml"
    file.write_text(json.dumps({"access": {"tokens": [{"name": "app", "secret_file": str(secret)}]}}))
    assert warned(look(tmp_path / "d", config_file=file)) == {"access.secrets"}
    secret.chmod(0o600)
    assert warned(look(tmp_path / "d", config_file=file)) == set()


@pytest.mark.parametrize(
    ("cert", "key", "word"), [("expired.pem", "key.pem", "expired"), ("cert.pem", "other_key.pem", "key")]
)
def test_certificates(tmp_path: Path, cert: str, key: str, word: str) -> None:
    """One that has expired, and one whose key is another's."""
    report = look(tmp_path, f"tls.cert={TLS / cert}", f"tls.key={TLS / key}")
    assert broken(report) == {"tls.certificate"}
    assert word in said(report, "tls.certificate")


def test_an_expired_certificate_as_senders_see_it() -> None:
    """The hop at which their connections end is named as well."""
    settings = (f"tls.cert={TLS / 'expired.pem'}", f"tls.key={TLS / 'key.pem'}")
    with serving(*settings) as server:
        report = look(server, *settings)
        assert broken(report) == {"tls.certificate", "otlp-grpc.tls", "otlp-http.tls", "http.tls"}
        assert "expired" in said(report, "otlp-http.tls")


def test_a_ceiling_above_the_memory(tmp_path: Path) -> None:
    """An engine that may take more than there is."""
    report = look(tmp_path, "engine.memory_bytes=4096GiB")
    assert broken(report) == {"memory.ceiling"}


# -- a server that does not start


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The listener and the process that has its port are named."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        report = look(tmp_path, f"otlp.http=127.0.0.1:{port}", FREE[0], FREE[1])
    assert broken(report) == {"ports.otlp-http"}
    assert f"process {os.getpid()}" in said(report, "ports.otlp-http")


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    """It says so."""
    (tmp_path / "data").touch()
    assert broken(look(tmp_path / "data")) == {"data.directory"}


def test_a_data_directory_that_is_locked(tmp_path: Path) -> None:
    """Somebody else's lock on it, with the process."""
    (tmp_path / "clickhouse").mkdir()
    with (tmp_path / "clickhouse" / "engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = look(tmp_path)
    assert broken(report) == {"data.lock"}
    assert f"process {os.getpid()}" in said(report, "data.lock")


def test_a_rival_on_the_data_directory(healthy: Server) -> None:
    """The server that is configured for other ports cannot start: the directory is the running one's."""
    report = look(healthy, "listen=127.0.0.1:1")
    assert broken(report) == {"data.lock"}
    assert str(healthy.process and healthy.process.pid) in said(report, "data.lock")


def test_a_newer_schema() -> None:
    """A downgrade: the last start's letter is told."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        with serving(folder=Path(folder)) as server:
            engine_socket.command(server, "INSERT INTO migrations (number, name) VALUES (9999, 'of tomorrow')")
        with pytest.raises(AssertionError, match="schema_newer"):
            server.start()
        report = look(server)
        assert broken(report) == {"data.schema"} | {
            found.check for found in report.findings if found.check.startswith("ports.") and found.state is State.BROKEN
        }
        assert "9999" in said(report, "data.schema")


def test_a_damaged_data_directory() -> None:
    """The engine cannot open its tables: its letter is told."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        with serving(folder=Path(folder)) as server:
            pass
        tables = Path(folder) / "data" / "clickhouse" / "db"
        definition = next(path for path in sorted(tables.rglob("*.sql")) if b"samples" in path.read_bytes())
        definition.write_bytes(b"no definition")
        with pytest.raises(AssertionError):
            server.start()
        assert broken(look(server.folder / "data")) == {"engine.start"}


# -- a running server in trouble


def test_a_read_only_data_directory(small_disk: Path) -> None:
    """The directory, and what it does to commits."""
    with serving("disk.reserve_bytes=0", folder=small_disk) as server:
        data = str(small_disk / "data" / "clickhouse")
        subprocess.run(["mount", "--bind", data, data], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", data], check=True)
            report = look(server, "disk.reserve_bytes=0")
        finally:
            subprocess.run(["umount", "-l", data], check=True)
        assert (
            {"data.directory", "intake.commit"} <= broken(report) <= {"data.directory", "intake.commit", "server.ready"}
        )


def test_a_full_disk(small_disk: Path) -> None:
    """The disk, and what it does to commits."""
    with serving("disk.reserve_bytes=0", folder=small_disk) as server:
        with (small_disk / "ballast").open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        report = look(server, "disk.reserve_bytes=0")
        assert {"disk.space", "intake.commit"} <= broken(report) <= {"disk.space", "intake.commit", "server.ready"}
        assert "disk_full" in said(report, "intake.commit")
        (small_disk / "ballast").unlink()


def engine_pid(server: Server) -> int:
    """The engine's process."""
    return int((server.folder / "data" / "clickhouse" / "engine.lock").read_text())


def test_an_engine_that_hangs(own_gnomon: Server) -> None:
    """Stopped by a signal: it is told so, with its process."""
    pid = engine_pid(own_gnomon)
    os.kill(pid, signal.SIGSTOP)
    try:
        report = look(own_gnomon)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "engine.answers" in broken(report)
    assert broken(report) <= {"engine.answers", "intake.commit", "server.ready"}
    assert f"process {pid}" in said(report, "engine.answers")
    assert "SIGSTOP" in said(report, "engine.answers")


def test_an_engine_that_cannot_be_started_again(own_gnomon: Server) -> None:
    """Killed, with its directory gone: the engine, the directory, readiness."""
    data = own_gnomon.folder / "data" / "clickhouse"
    pid = engine_pid(own_gnomon)
    data.rename(data.with_name("aside"))
    data.touch()
    os.kill(pid, signal.SIGKILL)
    until(lambda: _status(f"{own_gnomon.api}/readyz") == 503)
    report = look(own_gnomon)
    data.unlink()
    data.with_name("aside").rename(data)
    assert {"engine.answers", "server.ready", "data.directory"} <= broken(report)
    assert "events.engine_died" in warned(report)


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_engine_whose_socket_is_gone(own_gnomon: Server) -> None:
    """Removed by a cleaner of temporary files, perhaps."""
    (own_gnomon.folder / "data" / "engine.sock").unlink()
    report = look(own_gnomon)
    assert "engine.answers" in broken(report)
    assert "gone" in said(report, "engine.answers")


def test_too_few_open_files(own_gnomon: Server) -> None:
    """Fewer than it serves connections: a warning."""
    assert own_gnomon.process
    resource.prlimit(own_gnomon.process.pid, resource.RLIMIT_NOFILE, (300, 300))
    report = look(own_gnomon)
    assert warned(report) == {"files.limit"}
    assert broken(report) == set()


# -- tokens


def test_tokens() -> None:
    """An unknown token, one without ingest, one for another tenant, none at all: refused at authentication, and why."""
    with serving(tokens("read", "admin")) as server:
        places = {f"{receiver}.authenticate" for receiver in ("otlp-grpc", "otlp-http", "http")}
        for token, tenant, code in (
            (None, None, "token_missing"),
            (OTHER, None, "token_unknown"),
            (SECRET, None, "scope_missing"),
            (SECRET, "elsewhere", "tenant_forbidden"),
        ):
            report = look(server, token=token, tenant=tenant)
            assert broken(report) - {"access.token"} == places, code
            assert all(code in said(report, place) for place in places)


def test_a_token_that_may_not_read() -> None:
    """Good for an application: its records are acknowledged; that they cannot be followed further is a warning."""
    with serving(tokens("ingest")) as server:
        report = look(server, token=SECRET)
        assert broken(report) == set()
        assert warned(report) == {"query.authenticate"}


# -- the wrong protocol, as the application is told to send


@pytest.mark.parametrize(
    ("option", "place", "scheme", "word"),
    [
        ("otlp_http", "otlp-grpc", "http", "speaks gRPC, not HTTP"),
        ("otlp_grpc", "otlp-http", "http", "speaks HTTP, not gRPC"),
        ("otlp_http", "otlp-http", "https", "speaks HTTP, not TLS"),
        ("otlp_grpc", "otlp-grpc", "https", "speaks gRPC, not TLS"),
    ],
)
def test_a_wrong_endpoint(healthy: Server, option: str, place: str, scheme: str, word: str) -> None:
    """A port of another protocol, and TLS to a plain one: what the port speaks is named."""
    report = look(healthy, **{option: f"{scheme}://{healthy.addresses[place]}"})
    check = f"{option.replace('_', '-')}.protocol"
    assert broken(report) == {check}
    assert word in said(report, check)
    assert broken(look(healthy)) == set()  # the doctor's own attempts are no senders


@pytest.mark.parametrize(("option", "place"), [("otlp_http", "otlp-http"), ("otlp_grpc", "otlp-grpc")])
def test_an_endpoint_without_tls(secured: Server, option: str, place: str) -> None:
    """To a port that speaks TLS."""
    settings = (f"tls.cert={TLS / 'cert.pem'}", f"tls.key={TLS / 'key.pem'}")
    report = look(secured, *settings, **{option: f"http://{secured.addresses[place]}"})
    assert broken(report) == {f"{place}.protocol"}
    assert "speaks TLS" in said(report, f"{place}.protocol")


def test_a_receiver_that_is_off() -> None:
    """Nothing listens where the application sends."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--otlp-http", "off"))
        server.start()
        try:
            assert broken(look(server)) == set()
            assert broken(look(server, otlp_http=f"http://127.0.0.1:{port}")) == {"otlp-http.connect"}
        finally:
            server.stop()


def test_a_name_that_is_not_in_the_certificate(secured: Server) -> None:
    """The connection ends at TLS, for the name."""
    settings = (f"tls.cert={TLS / 'cert.pem'}", f"tls.key={TLS / 'key.pem'}")
    report = look(
        secured, *settings, otlp_http=f"https://127.0.0.2:{secured.addresses['otlp-http'].rpartition(':')[2]}"
    )
    assert broken(report) <= {"otlp-http.tls", "otlp-http.connect"}
    assert broken(report)


def test_a_token_is_not_given_to_an_impostor(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a far address whose certificate nobody vouches for, the doctor asks, but without the token."""
    monkeypatch.setattr(rounds, "is_loopback", lambda _host: False)
    heard: list[str] = []

    class Impostor(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers['Authorization']}")
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Impostor) as impostor:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        impostor.socket = context.wrap_socket(impostor.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=impostor.serve_forever, args=(0.05,), daemon=True).start()
        report = examine(Asked(api=f"https://127.0.0.1:{impostor.server_port}", token=SECRET))
        impostor.shutdown()
    assert heard == ["/readyz None"]
    assert "http.tls" in broken(report)


def test_authorities_that_cannot_be_read(healthy: Server, tmp_path: Path) -> None:
    """A file that is not there, or is no PEM, is a finding."""
    (tmp_path / "noise").write_text("noise")
    for name in ("none", "noise"):
        assert broken(look(healthy, ca=tmp_path / name)) == {"tls.authorities"}


# -- senders that the server has noticed


def raw(address: str, data: bytes) -> bytes:
    """Bytes to a port, and its first answer."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(data)
        connection.settimeout(10)
        with contextlib.suppress(OSError):
            return connection.recv(4096)
    return b""


def grpc_to(address: str) -> None:
    """A gRPC exporter at this address; it fails."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(METHODS["traces"])(b"", timeout=5)


def tls_to(address: str) -> None:
    """A TLS client at this address; it fails."""
    context = ssl.create_default_context()
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection, pytest.raises(OSError, match=r"\S"):
        context.wrap_socket(connection, server_hostname="collector")


def loki_to(server: Server) -> None:
    """Promtail."""
    status, _, body = server.post(f"{server.otlp_http}/loki/api/v1/push", b"{}", JSON, User_Agent="promtail/3.0")
    assert status == 404
    assert "loki_unserved" in body.decode()


def unknown_method(server: Server) -> None:
    """A Jaeger agent."""
    with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/jaeger.api_v2.CollectorService/PostSpans")(b"", timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


VISITS: dict[str, tuple[str, Callable[[Server], object]]] = {
    "grpc_on_http_port": ("exporters.protocol", lambda server: grpc_to(server.addresses["otlp-http"])),
    "tls_on_plain_port": ("exporters.protocol", lambda server: tls_to(server.addresses["otlp-http"])),
    "grpc_method_unknown": ("exporters.protocol", unknown_method),
    "otlp_wrong_path": ("exporters.path", lambda server: server.post(f"{server.otlp_http}/v1/trace", b"")),
    "json_as_protobuf": (
        "exporters.encoding",
        lambda server: server.post(f"{server.otlp_http}/v1/traces", otlp.as_json(otlp.one_of("traces", "j")), PROTOBUF),
    ),
    "protobuf_as_json": (
        "exporters.encoding",
        lambda server: server.post(
            f"{server.otlp_http}/v1/traces", otlp.one_of("traces", "p").SerializeToString(), JSON
        ),
    ),
    "loki_unserved": ("exporters.unserved", loki_to),
    "prometheus_unserved": (
        "exporters.unserved",
        lambda server: server.post(f"{server.api}/api/v1/import", b"", PROTOBUF, User_Agent="vmagent"),
    ),
    "elasticsearch_unserved": (
        "exporters.unserved",
        lambda server: server.post(f"{server.otlp_http}/_bulk", b"{}", "application/x-ndjson"),
    ),
}


@pytest.mark.parametrize("reason", list(VISITS))
def test_a_sender_that_errs(visited: Server, reason: str) -> None:
    """Each is answered with the cure and named by the doctor: the check, the reason, the peer."""
    check, visit = VISITS[reason]
    visit(visited)
    report = look(visited)
    assert check in broken(report)
    assert reason in said(report, check)
    assert "127.0.0.1" in said(report, check)
    assert broken(report) <= {place for place, _ in VISITS.values()}


def test_a_sender_without_tls(secured: Server) -> None:
    """Plain HTTP to the TLS port is noticed too, and one that does not trust the certificate."""
    raw(secured.addresses["otlp-http"], b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    tls_to(secured.addresses["otlp-http"])
    settings = (f"tls.cert={TLS / 'cert.pem'}", f"tls.key={TLS / 'key.pem'}")
    until(lambda: "tls_refused" in said(look(secured, *settings), "exporters.protocol"))
    report = look(secured, *settings)
    assert broken(report) == {"exporters.protocol"}
    assert "plain_on_tls_port" in said(report, "exporters.protocol")


def test_a_sender_with_an_unknown_token() -> None:
    """Named by its peer and agent, while others send well."""
    with serving(tokens("ingest", "read", "admin")) as server:
        body = otlp.one_of("traces", "s").SerializeToString()
        agent = {"Authorization": f"Bearer {OTHER}", "User_Agent": "OTel-OTLP-Exporter-Python/1.45"}
        assert server.post(f"{server.otlp_http}/v1/traces", body, **agent)[0] == 401
        report = look(server, token=SECRET)
        assert broken(report) == {"exporters.access"}
        assert "OTel-OTLP-Exporter-Python" in said(report, "exporters.access")
        text = urllib.request.urlopen(f"{server.api}/metrics").read().decode()
        assert 'gnomon_turned_away_total{listener="otlp-http",reason="token_unknown"} 1' in text


def test_a_process_that_is_told_the_wrong_port(healthy: Server) -> None:
    """Its OTEL_ variables say HTTP, the port is gRPC's, which drops it in silence: it is named by its process."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{healthy.otlp_grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **environment}) as process:
        report = look(healthy)
        process.kill()
    assert broken(report) == set()
    assert warned(report) == {"exporters.environment"}
    assert f"process {process.pid}" in said(report, "exporters.environment")


def test_a_sender_whose_clock_is_off() -> None:
    """Half an hour ahead is stored and warned of; two hours ahead is refused and warned of all the same."""
    with serving() as server:
        for service, ahead_s in (("fast", 1800), ("faster", 7200), ("right", 0)):
            at = time.time_ns() + ahead_s * 10**9
            for signal, request in (
                ("traces", otlp.traces(service, [otlp.span(start_time_unix_nano=at, end_time_unix_nano=at)])),
                ("metrics", otlp.gauge("m", [{"as_double": 1.0, "time_unix_nano": at}], service)),
            ):
                status, _, _ = server.post(f"{server.otlp_http}/v1/{signal}", request.SerializeToString())
                assert status == 200
        report = look(server)
        assert broken(report) == set()
        assert warned(report) == {"clock.senders"}
        for name in ("traces of fast ", "traces of faster ", "metrics of fast ", "metrics of faster "):
            assert name in said(report, "clock.senders")
        assert "right" not in said(report, "clock.senders")


# -- freshness


def test_a_source_with_a_hostile_name(visited: Server) -> None:
    """The list shows its name as it is written, harmless to the terminal."""
    request = otlp.one_of("logs", "[/x] [bold]\x1b[2J")
    assert visited.post(f"{visited.otlp_http}/v1/logs", request.SerializeToString())[0] == 200
    command = [sys.executable, "-m", "gnomon_server.cli", "sources", "--api", visited.api]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    assert r"[/x] [bold]\x1b[2J" in listed.stdout


def test_sources_that_stop() -> None:
    """Listed with what they send, told and warned of when they stop, known after a restart, told when they are back."""

    def send(server: Server, signal: str, service: str) -> None:
        request = otlp.one_of(signal, service)
        assert server.post(f"{server.otlp_http}/v1/{signal}", request.SerializeToString())[0] == 200

    def state_of(server: Server, service: str) -> dict[str, str]:
        found = server.get("/sources")["sources"]
        return {source["signal"]: source["state"] for source in found if source["service"] == service}

    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        with serving("sources.silent_s=1.5", folder=Path(folder)) as server:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for signal in ("traces", "metrics"):
                    send(server, signal, "stops")
                send(server, "metrics", "only-metrics")
                time.sleep(0.1)
            until(lambda: set(state_of(server, "stops").values()) == {"silent"})
            until(lambda: state_of(server, "only-metrics") == {"metrics": "silent"})
            until(lambda: server.log.read_text().count("source_silent") == 3)
            report = look(server)
            assert warned(report) == {"sources.silent"}
            assert "traces of stops" in said(report, "sources.silent")
            command = [sys.executable, "-m", "gnomon_server.cli", "sources", "--api", server.api, "--state", "silent"]
            listed = subprocess.run(
                command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"}
            )
            assert listed.stdout.count("silent ") >= 3
            assert "3 sources" in listed.stderr
        server.start()
        try:
            assert state_of(server, "stops") == {"traces": "silent", "metrics": "silent"}
            send(server, "traces", "stops")
            assert state_of(server, "stops")["traces"] == "sending"
            assert "source_back traces of stops (default)" in server.log.read_text()
        finally:
            server.stop()
