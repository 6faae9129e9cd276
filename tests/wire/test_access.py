"""Who may, over real sockets: tokens, scopes, tenants, TLS, and which web pages."""

import base64
import hashlib
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from tests import otlp
from tests.otlp import JSON, METHODS, PROTOBUF
from tests.server import Server

TLS = Path(__file__).parents[1] / "cases" / "tls"
SECRETS = {name: f"{name}-token-of-a-fair-length" for name in ("acme", "sender", "reader", "boss", "hashed")}
Code = grpc.StatusCode


def _config(folder: Path) -> Path:
    """Five tokens: in the file, in a secret file, as a digest; of two tenants, with different scopes."""
    (folder / "boss").write_text(SECRETS["boss"] + "\n", "utf-8")
    digest = hashlib.sha256(SECRETS["hashed"].encode()).hexdigest()
    tokens = [
        {"name": "acme", "secret": SECRETS["acme"], "tenants": ["acme"]},
        {"name": "sender", "secret": SECRETS["sender"], "tenants": ["acme", "default"], "scopes": ["ingest"]},
        {"name": "reader", "secret": SECRETS["reader"], "tenants": ["bank", "acme"], "scopes": ["read"]},
        {"name": "boss", "secret_file": str(folder / "boss"), "scopes": ["ingest", "read", "admin"]},
        {"name": "hashed", "secret": f"sha256:{digest}", "scopes": ["read"]},
    ]
    web = {"origins": ["https://shop.example.com"], "hosts": ["gnomon.example.com"]}
    path = folder / "gnomon.yaml"
    path.write_text(yaml.safe_dump({"access": {"tokens": tokens, "web": web}, "own_telemetry_s": 1}), "utf-8")
    return path


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that listens beyond loopback, and so demands tokens."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        config = _config(Path(folder))
        server = Server(Path(folder), ("--config", str(config), "--listen", "0.0.0.0:0"))
        server.start()
        server.addresses = {name: at.replace("0.0.0.0", "127.0.0.1") for name, at in server.addresses.items()}
        yield server
        server.stop()
        assert not any(secret in server.log.read_text("utf-8") for secret in SECRETS.values())


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Any request to the API's address, with any headers (`X_Scope_OrgID` is X-Scope-OrgID)."""
    connection = http.client.HTTPConnection(server.addresses["http"])
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def bearer(who: str) -> str:
    """The header's value."""
    return f"Bearer {SECRETS[who]}"


def ingest(server: Server, service: str, **headers: str) -> int:
    """Send one span; the status."""
    body = otlp.one_of("traces", service).SerializeToString()
    return server.post(f"{server.otlp_http}/v1/traces", body, PROTOBUF, **headers)[0]


def rows(server: Server, query: str, **headers: str) -> Any:
    """The rows of a query, or the code of its refusal."""
    code, _, answer = ask(
        server, "POST", "/api/gnomon/v1/sql", json.dumps({"query": query}).encode(), Content_Type=JSON, **headers
    )
    return json.loads(answer)["rows"] if code == 200 else (code, json.loads(answer)["error"]["code"])


def basic(secret: str) -> str:
    """Basic with the token as password."""
    return "Basic " + base64.b64encode(f"anybody:{secret}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (bearer("boss"), 200),
        (bearer("acme"), 200),
        (basic(SECRETS["boss"]), 200),
        (f"bearer  {SECRETS['boss']} ", 200),
        (bearer("reader"), 403),
        (bearer("hashed"), 403),
        ("Bearer wrong-token-of-a-fair-length", 401),
        (basic("wrong"), 401),
        ("Basic not-base64", 401),
        ("Bearer", 401),
        (SECRETS["boss"], 401),
        ("", 401),
    ],
)
def test_who_may_send(guarded: Server, authorization: str, expected: int) -> None:
    """Tokens by Bearer and Basic, over HTTP and gRPC alike; what is wrong or missing is 401, a missing scope 403."""
    assert ingest(guarded, "who", Authorization=authorization) == expected
    codes = {200: Code.OK, 401: Code.UNAUTHENTICATED, 403: Code.PERMISSION_DENIED}
    with grpc.insecure_channel(guarded.otlp_grpc) as channel:
        call, words = channel.unary_unary(METHODS["traces"]), ""
        try:
            _, done = call.with_call(b"", metadata=(("authorization", authorization),), timeout=30)
            code = done.code()
        except grpc.RpcError as error:
            code = error.code()
            words = error.details()
    assert code is codes[expected]
    assert not any(secret in words for secret in SECRETS.values())


def test_refusals_tell_how(guarded: Server) -> None:
    """401 names the schemes, and no refusal repeats a secret."""
    for path in ("/v1/traces", "/api/gnomon/v1/sql"):
        code, headers, answer = ask(guarded, "POST", path, b"", Authorization="Bearer wrong-token-of-a-fair-length")
        assert code == 401
        assert headers["www-authenticate"].startswith("Bearer")
        assert b"wrong-token" not in answer
    assert ask(guarded, "GET", "/api/gnomon/v1/traces")[0] == 401


def test_scopes(guarded: Server) -> None:
    """Who may only send cannot read, who may only read cannot send."""
    assert ingest(guarded, "scopes", Authorization=bearer("sender")) == 200
    assert rows(guarded, "SELECT 1", Authorization=bearer("sender")) == (403, "scope_missing")
    assert ask(guarded, "GET", "/api/gnomon/v1/services", Authorization=bearer("sender"))[0] == 403
    assert rows(guarded, "SELECT 1", Authorization=bearer("hashed")) == [[1]]
    assert ingest(guarded, "scopes", Authorization=bearer("reader")) == 403


def test_tenants_are_apart(guarded: Server) -> None:
    """X-Scope-OrgID chooses among a token's tenants only, and rows of one are invisible to the other."""
    service = otlp.name("apart")
    assert ingest(guarded, service, Authorization=bearer("acme")) == 200
    assert ingest(guarded, service, Authorization=bearer("sender")) == 200  # default, which is among its tenants
    assert ingest(guarded, service, Authorization=bearer("sender"), X_Scope_OrgID="acme") == 200
    assert ingest(guarded, service, Authorization=bearer("sender"), X_Scope_OrgID="bank") == 403
    assert ingest(guarded, service, Authorization=bearer("acme"), X_Scope_OrgID="default") == 403
    assert ingest(guarded, service, Authorization=bearer("acme"), X_Scope_OrgID="a/b") == 400
    query = f"SELECT count() FROM spans WHERE service = '{service}'"
    assert rows(guarded, query, Authorization=bearer("acme")) == [[2]]
    assert rows(guarded, query, Authorization=bearer("boss")) == [[1]]
    assert rows(guarded, query, Authorization=bearer("reader"), X_Scope_OrgID="acme") == [[2]]
    assert rows(guarded, query, Authorization=bearer("reader")) == [[0]]  # bank, its first
    assert rows(guarded, query, Authorization=bearer("reader"), X_Scope_OrgID="default") == (403, "tenant_forbidden")
    for who, expected in (("acme", 2), ("boss", 1)):
        _, _, answer = ask(guarded, "GET", f"/api/gnomon/v1/traces?service={service}", Authorization=bearer(who))
        assert len(json.loads(answer)["traces"]) == expected
    metadata = (("authorization", bearer("acme")), ("x-scope-orgid", "bank"))
    with grpc.insecure_channel(guarded.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(METHODS["traces"])(b"", metadata=metadata, timeout=30)
    assert refused.value.code() is Code.PERMISSION_DENIED


def test_own_telemetry_is_for_admins(guarded: Server) -> None:
    """The tenant `_gnomon` can be read, and written, by an admin only."""
    query = "SELECT count() > 0 FROM metrics"
    assert rows(guarded, query, Authorization=bearer("boss"), X_Scope_OrgID="_gnomon") == [[True]]
    assert rows(guarded, query, Authorization=bearer("acme"), X_Scope_OrgID="_gnomon") == (403, "tenant_forbidden")
    assert ingest(guarded, "x", Authorization=bearer("sender"), X_Scope_OrgID="_gnomon") == 403


def test_what_needs_no_token(guarded: Server) -> None:
    """The console's files and the probes are open; they hold nothing."""
    assert ask(guarded, "GET", "/healthz")[0] == 200
    assert ask(guarded, "GET", "/readyz")[0] == 200
    assert ask(guarded, "GET", "/")[0] == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200), ("127.0.0.1:4319", 200), ("[::1]", 200), ("gnomon.example.com", 200),
        ("GNOMON.example.com:80", 200), ("evil.example.com", 403), ("127.0.0.1.evil.com", 403), ("localhost@evil", 403),
    ],
)  # fmt: skip
def test_host(guarded: Server, host: str, expected: int) -> None:
    """A name that is not ours (DNS rebinding) is refused whatever the path, before any token is looked at."""
    for method, path in (("GET", "/healthz"), ("GET", "/"), ("POST", "/v1/traces")):
        code, _, _ = ask(guarded, method, path, b"", Host=host, Content_Type=PROTOBUF, Authorization=bearer("boss"))
        assert code == expected


def test_origin_and_cors(guarded: Server) -> None:
    """A foreign page's POST is refused; the configured one may send OTLP, and only that."""
    boss = {"Authorization": bearer("boss"), "Content_Type": PROTOBUF}
    shop = "https://shop.example.com"
    assert ask(guarded, "POST", "/v1/traces", b"", Origin="https://evil.example.com", **boss)[0] == 403
    assert ask(guarded, "POST", "/v1/traces", b"", Origin="null", **boss)[0] == 403
    assert ask(guarded, "POST", "/api/gnomon/v1/sql", b"{}", Origin=shop, **boss)[0] == 403
    code, headers, _ = ask(guarded, "POST", "/v1/traces", b"", Origin=shop, **boss)
    assert (code, headers["access-control-allow-origin"]) == (200, shop)
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type"}
    code, headers, _ = ask(guarded, "OPTIONS", "/v1/traces", Origin=shop, **asked)
    assert (code, headers["access-control-allow-origin"]) == (204, shop)
    assert "authorization" in headers["access-control-allow-headers"]
    code, headers, _ = ask(guarded, "OPTIONS", "/v1/traces", Origin="https://evil.example.com", **asked)
    assert code == 403
    assert "access-control-allow-origin" not in headers


def test_a_loopback_server_is_closed_to_pages(gnomon: Server) -> None:
    """Without tokens everything is open to programs on this machine, and nothing to a web page."""
    body = json.dumps({"query": "SELECT 1"}).encode()
    assert ask(gnomon, "POST", "/api/gnomon/v1/sql", body, Content_Type="text/plain")[0] in (200, 415)
    evil = "evil.example.com"
    for page in ({"Origin": f"https://{evil}"}, {"Host": evil}, {"Sec_Fetch_Site": "cross-site"}):
        assert ask(gnomon, "POST", "/api/gnomon/v1/sql", body, Content_Type="text/plain", **page)[0] == 403


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gnomon_server.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_beyond_loopback_without_a_token(tmp_path: Path) -> None:
    """A server that others could reach does not start without tokens, and says so."""
    for verb in ("up", "check"):
        ended = _run(
            verb, "--data", str(tmp_path / "data"), "--listen", "0.0.0.0:0", "--otlp-grpc", "off", "--otlp-http", "off"
        )
        assert ended.returncode == 1
        assert "no token is configured" in ended.stderr
        assert "access.tokens" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_tokens_in_the_clear_are_warned_of(guarded: Server) -> None:
    """Beyond loopback with tokens and without TLS it starts, with a warning."""
    assert "insecure_bind 0.0.0.0:0 has no TLS" in guarded.log.read_text("utf-8")


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """`check --print` names the tokens, never what they are; nor does a complaint about a bad one."""
    config = _config(tmp_path)
    shown = _run(
        "check", "--print", "--config", str(config), "--data", str(tmp_path / "data"),
        "--set", "store.password=hunter2-hunter2",
        "--listen", "127.0.0.1:0", "--otlp-grpc", "off", "--otlp-http", "off",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "acme, sender, reader, boss, hashed" in shown.stdout
    assert not any(secret in shown.stdout + shown.stderr for secret in [*SECRETS.values(), "hunter2"])
    bad = yaml.safe_load(config.read_text("utf-8"))
    bad["access"]["tokens"][0] |= {"secret": "too short x", "tenant": "acme"}
    config.write_text(yaml.safe_dump(bad), "utf-8")
    refused = _run("check", "--config", str(config))
    assert refused.returncode == 1
    assert "access.tokens.0.secret" in refused.stderr
    assert "access.tokens.0.tenant" in refused.stderr
    assert "too short x" not in refused.stderr


def test_tls(tmp_path: Path) -> None:
    """With a certificate, HTTP and gRPC speak TLS alone, and beyond loopback nothing is warned of."""
    config = _config(tmp_path)
    tls = ("--set", f"tls.cert={TLS / 'cert.pem'}", "--set", f"tls.key={TLS / 'key.pem'}")
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--config", str(config), *tls, "--otlp-http", "off", "--listen", "0.0.0.0:0"))
        server.start()
        try:
            assert "insecure_bind" not in server.log.read_text("utf-8")
            port = int(server.addresses["http"].rpartition(":")[2])
            trusting = ssl.create_default_context(cafile=TLS / "cert.pem")
            secure = http.client.HTTPSConnection("localhost", port, context=trusting)
            body = otlp.one_of("traces", "tls").SerializeToString()
            secure.request("POST", "/v1/traces", body, {"Authorization": bearer("boss"), "Content-Type": PROTOBUF})
            assert secure.getresponse().status == 200
            secure.close()
            plain = http.client.HTTPConnection("localhost", port)
            plain.request("GET", "/healthz")
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                plain.getresponse()
            plain.close()
            credentials = grpc.ssl_channel_credentials((TLS / "cert.pem").read_bytes())
            address = "localhost:" + server.otlp_grpc.rpartition(":")[2]
            with grpc.secure_channel(address, credentials) as channel:
                metadata = (("authorization", bearer("boss")),)
                assert channel.unary_unary(METHODS["traces"])(body, metadata=metadata, timeout=30) == b""
            with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(METHODS["traces"])(body, timeout=30)
            assert refused.value.code() is Code.UNAVAILABLE
        finally:
            server.stop()
