"""Backup and restore: everything, while the server works; increments; what is cut short or damaged is refused."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pydantic import TypeAdapter
from tests import otlp
from tests.otlp import PROTOBUF
from tests.server import Server

from gnomon_server.store.backup.manifest import Manifest

TABLES = {
    "exemplars", "logs", "metric_meta", "migrations", "native_histograms", "resources", "samples", "series", "spans",
    "tenants", "trace_index",
}  # fmt: skip


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command, to its end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GNOMON_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-m", "gnomon_server.cli", *arguments],
        capture_output=True, text=True, timeout=110, check=False, env={**env, "COLUMNS": "200", **environment},
    )  # fmt: skip


def backup(server: Server, place: Path | str, *more: str) -> dict[str, Any]:
    """One backup that succeeds: what the server says of it."""
    ended = run("backup", str(place), "--api", server.api, "--json", *more)
    assert ended.returncode == 0, ended.stderr
    made: dict[str, Any] = json.loads(ended.stdout)["backup"]
    return made


def hashes(made: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Rows and row hash of each table."""
    return {table["name"]: (table["rows"], table["hash"]) for table in made["tables"]}


def send(server: Server, service: str, spans: int = 20, tenant: str = "default") -> None:
    """Spans, log records and a gauge of a service, acknowledged."""
    requests = {
        "traces": otlp.traces(service, [otlp.span() for _ in range(spans)]),
        "logs": otlp.logs(service, [{"body": otlp.value(f"line {n}")} for n in range(spans)]),
        "metrics": otlp.gauge(service, [{"as_double": float(n)} for n in range(3)], service),
    }
    for signal, request in requests.items():
        url = f"{server.otlp_http}/v1/{signal}"
        status, _, answer = server.post(url, request.SerializeToString(), PROTOBUF, X_Scope_OrgID=tenant)
        assert status == 200, answer


def restored(place: Path | str, data: Path, *more: str, **environment: str) -> dict[str, tuple[int, str]]:
    """A restore that succeeds: rows and row hash of each table, as it compared them."""
    ended = run("restore", str(place), "--data", str(data), *more, **environment)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert {line[0] for line in lines} == {"✓"}
    return {line[1]: (int(line[2].replace(",", "")), line[5]) for line in lines}


@pytest.fixture(scope="module")
def quiet() -> Iterator[Server]:
    """A server whose tables change only when a test sends."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--set", "own_telemetry_s=0"))
        server.start()
        send(server, "first")
        send(server, "first", tenant="acme")
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def taken(quiet: Server) -> Path:
    """A place with one backup of it; to be copied before it is harmed."""
    place = quiet.folder / "taken"
    backup(quiet, place)
    return place


@pytest.fixture
def copy(taken: Path, tmp_path: Path) -> Path:
    """A copy to harm."""
    return Path(shutil.copytree(taken, tmp_path / "copy"))


def only(place: Path, pattern: str) -> Path:
    """The one file of that name."""
    (found,) = place.glob(f"*/{pattern}")
    return found


def test_under_load(own_gnomon: Server) -> None:
    """Taken while eight senders send: what was acknowledged before is in it, and the restored server answers."""
    server, place = own_gnomon, own_gnomon.folder / "place"
    stop = threading.Event()

    def keep_sending(number: int) -> int:
        sent = 0
        while not stop.is_set():
            send(server, f"load-{number}", spans=50)
            sent += 1
        return sent

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        senders = [pool.submit(keep_sending, number) for number in range(8)]
        try:
            time.sleep(1.5)
            send(server, "before")
            made = backup(server, place)
            send(server, "after")
            more = backup(server, place)
        finally:
            stop.set()
        assert min(sender.result() for sender in senders) > 0
    assert (made["kind"], more["kind"], more["base"]) == ("full", "incremental", made["id"])
    assert set(hashes(made)) >= TABLES
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        assert restored(place, Path(folder) / "data", "--backup", made["id"]) == hashes(made)
        other = Server(Path(folder), ("--set", "own_telemetry_s=0"))
        other.start()
        try:
            of_service = "SELECT count() AS n FROM {view} WHERE service = '{service}'"
            for view, rows in (("spans", 20), ("logs", 20), ("metrics", 3)):
                counted = other.sql(of_service.format(view=view, service="before"))
                # Of equal gauges' points at one time the last one counts.
                assert 0 < counted[0]["n"] <= rows
                assert view == "metrics" or counted[0]["n"] == rows
                assert other.sql(of_service.format(view=view, service="after"))[0]["n"] == 0
            # Tables agree with one another: each span is in the list of traces, each sample has its series.
            (sums,) = other.sql("SELECT (SELECT sum(spans) FROM traces) AS listed, (SELECT count() FROM spans) AS n")
            assert sums["listed"] == sums["n"]
            send(other, "goes-on")
        finally:
            assert other.stop() == 0
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        assert restored(place, Path(folder) / "data") == hashes(more)


def test_increments(quiet: Server, tmp_path: Path) -> None:
    """A second backup adds only what is new; each one of the chain is restored as it was; --full stands alone."""
    place = tmp_path / "chain"
    first = backup(quiet, place)
    send(quiet, "second")
    second = backup(quiet, place)
    third = backup(quiet, place)
    full = backup(quiet, place, "--full")
    kinds = [made["kind"] for made in (first, second, third, full)]
    assert kinds == ["full", "incremental", "incremental", "full"]
    assert (second["base"], third["base"], full["base"]) == (first["id"], second["id"], "")
    assert second["written_bytes"] < first["written_bytes"]
    assert third["written_bytes"] < 4096
    assert full["written_bytes"] == full["total_bytes"]
    assert hashes(third) == hashes(second) == hashes(full) != hashes(first)
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        assert restored(place, Path(folder) / "a", "--backup", first["id"]) == hashes(first)
        assert restored(place, Path(folder) / "b", "--backup", third["id"]) == hashes(third)
    listed = run("restore", str(place), "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [made["id"] for made in (first, second, third, full)]
    assert all(line.rstrip().endswith("✓") for line in listed[1:])
    assert first["id"] in listed[2]
    # The whole chain hangs on its first; the full one does not.
    shutil.rmtree(place / first["id"])
    listed = run("restore", str(place), "--list").stdout.splitlines()
    assert ["✗" in line for line in listed[1:]] == [True, True, False]
    assert run("restore", str(place), "--verify").returncode == 0


def test_a_backup_that_was_cut_short(quiet: Server, copy: Path) -> None:
    """Without its manifest it is refused, also when an earlier one is whole; the next backup goes on from that one."""
    whole = only(copy, "manifest.json").parent.name
    half = shutil.copytree(copy / whole, copy / "29991231T235959.999Z")
    (half / "manifest.json").unlink()
    for arguments in (("--verify",), ("--data", str(copy / "never"))):
        refused = run("restore", str(copy), *arguments)
        assert refused.returncode == 1
        assert "backup_incomplete" in refused.stderr
        assert f"--backup {whole}" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (copy / "never").exists()
    assert "cut short" in run("restore", str(copy), "--list").stdout
    assert run("restore", str(copy), "--verify", "--backup", whole).returncode == 0
    assert backup(quiet, copy)["base"] == whole


@pytest.mark.parametrize("harm", ["a bit of a pack", "a pack's end", "a pack", "the manifest", "the manifest's end"])
def test_a_damaged_backup_is_refused(copy: Path, tmp_path: Path, harm: str) -> None:
    """Flipped, shortened, gone: named, refused, and nothing is left in the target."""
    file = only(copy, "manifest.json" if "manifest" in harm else "000001.pack")
    content = bytearray(file.read_bytes())
    if harm == "a pack":
        file.unlink()
    elif "end" in harm:
        file.write_bytes(content[:-10])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    target = tmp_path / "target"
    for arguments in (("--data", str(target)), ("--verify",)):
        refused = run("restore", str(copy), *arguments)
        assert refused.returncode == 1
        assert "backup_damaged" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not target.exists()


def test_rows_that_differ_are_found(copy: Path, tmp_path: Path) -> None:
    """A manifest that tells of other rows than its packs hold: the comparison after the restore says which table."""
    file = only(copy, "manifest.json")
    told = json.loads(file.read_bytes().partition(b"\n")[2])
    for table in told["tables"]:
        if table["name"] == "logs" and table["holds_rows"]:
            table["parts"][0]["hash"]["sum"] ^= 1
    file.write_bytes(TypeAdapter(Manifest).validate_python(told).encoded())
    refused = run("restore", str(copy), "--data", str(tmp_path / "target"))
    assert refused.returncode == 1
    assert "restore_differs" in refused.stderr
    assert "✗ logs" in refused.stdout
    assert "✓ spans" in refused.stdout
    assert not (tmp_path / "target").exists()


def test_targets_and_sources_that_are_refused(taken: Path, copy: Path, tmp_path: Path) -> None:
    """A target that holds anything, a source that holds nothing, a newer schema, a backup that is not there."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept", "utf-8")
    (tmp_path / "empty").mkdir()
    cases = [
        ((str(taken), "--data", str(tmp_path / "full")), "target_not_empty"),
        ((str(taken), "--data", str(tmp_path / "full" / "mine")), "target_not_empty"),
        ((str(tmp_path / "empty"), "--verify"), "backup_not_found"),
        ((str(taken), "--verify", "--backup", "x"), "backup_not_found"),
        (("ftp://x/y", "--verify"), "place_unknown"),
        (("s3://bucket/x", "--verify"), "place_without_keys"),
        ((str(taken),), "--data"),
    ]
    for arguments, told in cases:
        refused = run("restore", *arguments)
        assert refused.returncode in (1, 2)
        assert told in refused.stderr, (arguments, refused.stderr)
        assert "Traceback" not in refused.stderr
    assert (tmp_path / "full" / "mine").read_text("utf-8") == "kept"
    file = only(copy, "manifest.json")
    body = file.read_bytes().partition(b"\n")[2].replace(b'"schema":', b'"schema":9', 1)
    head = {"gnomon_backup": 1, "sha256": hashlib.sha256(body).hexdigest()}
    file.write_bytes(json.dumps(head).encode() + b"\n" + body)
    refused = run("restore", str(copy), "--data", str(tmp_path / "new"))
    assert "schema_newer" in refused.stderr
    # A directory that is there and empty is taken.
    assert restored(taken, tmp_path / "empty")["tenants"][0] == 2


def test_the_api(quiet: Server, tmp_path: Path) -> None:
    """One at a time; cancelled, it leaves nothing; a place in the data directory or by half a path is refused."""

    def ask(method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{quiet.api}/api/gnomon/v1/backups{path}", content, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    for body, code in (
        ({"to": str(quiet.folder / "data" / "backups")}, "place_in_data"),
        ({"to": "backups"}, "place_relative"),
        ({"to": "gs://x"}, "place_unknown"),
        ({"to": 1}, "field_invalid"),
        ({"where": "/x"}, "body_invalid"),
    ):
        status, told = ask("POST", "", body)
        assert (status, told["error"]["code"]) == (400, code)
    assert ask("GET", "/999")[0] == ask("GET", "/x")[0] == 404
    status, job = ask("POST", "", {"to": str(tmp_path / "one")})
    assert status == 202
    assert ask("POST", "", {"to": str(tmp_path / "two")})[0] == 429
    ask("DELETE", f"/{job['job']}")
    while job["state"] == "running":
        job = ask("GET", f"/{job['job']}")[1]
    assert job["state"] == "cancelled"
    assert not any((tmp_path / "one").rglob("*.*"))
    assert not (tmp_path / "two").exists()
    blocked = tmp_path / "file"
    blocked.write_text("", "utf-8")
    _, job = ask("POST", "", {"to": str(blocked)})
    while job["state"] == "running":
        job = ask("GET", f"/{job['job']}")[1]
    assert (job["state"], job["error"]["code"]) == ("failed", "place_unusable")
    assert ask("GET", "")[1]["backups"][0] == job
    assert quiet.sql("SELECT count() AS n FROM logs WHERE service = 'first'") == [{"n": 20}]


def test_a_bucket_and_who_may(tmp_path: Path) -> None:
    """To a bucket and back, keys from a file and from the environment; it takes the scope admin; no key is shown."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/backups", method="PUT"), timeout=30).close()
    secret, place = "a-secret-key-of-forty-characters-length", "s3://backups/gnomon"
    (tmp_path / "key").write_text(secret, "utf-8")
    tokens = {name: f"{name}-token-of-a-fair-length" for name in ("boss", "reader")}
    config = tmp_path / "gnomon.yaml"
    listed = [
        {"name": "boss", "secret": tokens["boss"], "scopes": ["ingest", "read", "admin"]},
        {"name": "reader", "secret": tokens["reader"], "scopes": ["ingest", "read"]},
    ]
    s3 = {"endpoint": endpoint, "access_key": "access", "secret_key_file": str(tmp_path / "key")}
    config.write_text(json.dumps({"access": {"tokens": listed}, "backup": {"s3": s3}}), "utf-8")
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
        server = Server(Path(folder), ("--config", str(config)))
        server.start()
        try:
            for verb in (("backup", place), ("disk",)):
                refused = run(*verb, "--api", server.api, "--token", tokens["reader"])
                assert (refused.returncode, "scope_missing" in refused.stderr) == (1, True)
                assert "token_missing" in run(*verb, "--api", server.api).stderr
            made = backup(server, place, "--token", tokens["boss"])
            more = backup(server, place, "--token", tokens["boss"])
            assert more["base"] == made["id"]
            shown = run("check", "--print", "--config", str(config), "--data", str(tmp_path / "d"), "--listen", "off")
            assert "backup.s3.secret_key" in shown.stdout
            assert secret not in shown.stdout + shown.stderr + server.log.read_text("utf-8")
        finally:
            assert server.stop() == 0
        environment = {
            "AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": secret, "AWS_ENDPOINT_URL": endpoint,
        }  # fmt: skip
        assert restored(place, Path(folder) / "r", "--verify", **environment) == hashes(more)
    moto.stop()
