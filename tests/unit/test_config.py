"""Settings: how values are written, where they come from, and that every mistake is named."""

from pathlib import Path
from typing import Any

import pytest

from gnomon_server.config import Listen, Settings, keys, load, parse_duration_s, parse_listen, parse_size
from gnomon_server.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:4319", Listen("127.0.0.1", 4319)),
        ("localhost:0", Listen("localhost", 0)),
        (":4319", Listen("0.0.0.0", 4319)),
        ("[::1]:4317", Listen("::1", 4317)),
        (" 10.0.0.1:65535 ", Listen("10.0.0.1", 65535)),
        ("off", Listen("", -1)),
        ("OFF", Listen("", -1)),
        (False, Listen("", -1)),
    ],
)
def test_listen(text: Any, expected: Listen) -> None:
    """An address, every address, IPv6 in brackets, or off; off is false."""
    assert parse_listen(text) == expected
    assert bool(expected) is (expected.port >= 0)


@pytest.mark.parametrize(
    "text", ["", "4319", 4319, "host", "host:", "host:65536", "::1:4317", "a:1:2", "x:-1", True, None]
)
def test_no_address(text: Any) -> None:
    """Anything else is refused, with what was meant to be there."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5), ("30s", 30.0), ("5 m", 300.0), ("1.5h", 5400.0), ("7d", 604_800.0), ("12", 12.0), (3, 3),
        ("x", "x"),
    ],
)  # fmt: skip
def test_duration(text: Any, expected: Any) -> None:
    """Numbers with a unit are seconds; what is none is left for the complaint."""
    assert parse_duration_s(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512MiB", 512 << 20), ("2GB", 2 * 10**9), ("1K", 1024), ("1KB", 1000), ("1.5GiB", 3 << 29), ("7", 7),
        ("7B", 7), ("1TiB", 1 << 40), (9, 9), ("much", "much"),
    ],
)  # fmt: skip
def test_size(text: Any, expected: Any) -> None:
    """Binary and decimal units are bytes."""
    assert parse_size(text) == expected


def test_precedence(tmp_path: Path) -> None:
    """Flag before environment before file before default, and each value knows where it comes from."""
    file = tmp_path / "g.yaml"
    file.write_text("query: {rows: 1, memory_bytes: 2MiB, deadline_s: 3s}\nlisten: off\n", "utf-8")
    loaded = load({"query.rows": "30"}, {"GNOMON_QUERY_ROWS": "20", "GNOMON_QUERY_MEMORY_BYTES": "4MiB"}, file)
    query = loaded.settings.query
    assert (query.rows, query.memory_bytes, query.deadline_s, query.concurrency) == (30, 4 << 20, 3.0, 8)
    assert not loaded.settings.listen
    table = {key: (value, origin) for key, value, origin in loaded.table()}
    assert table["query.rows"] == ("30", "flag")
    assert table["query.memory_bytes"] == (str(4 << 20), "env GNOMON_QUERY_MEMORY_BYTES")
    assert table["query.deadline_s"] == ("3.0", f"file {file}")
    assert table["query.concurrency"] == ("8", "default")
    assert table["listen"] == ("off", f"file {file}")


def test_units_of_every_part(tmp_path: Path) -> None:
    """Settings with their unit in the name take it in the value too, wherever they come from."""
    file = tmp_path / "g.yaml"
    file.write_text("disk: {budget_bytes: 10GB}\nlimits: {http: {idle_timeout_s: 2m}}\n", "utf-8")
    settings = load({"intake.queue_bytes": "1MiB"}, {"GNOMON_INTAKE_HOLD_S": "500ms"}, file).settings
    assert (settings.disk.budget_bytes, settings.limits.http.idle_timeout_s) == (10**10, 120.0)
    assert (settings.intake.queue_bytes, settings.intake.hold_s) == (1 << 20, 0.5)


def test_secrets_by_file(tmp_path: Path) -> None:
    """`..._file` is the path of a secret, in the tree and in the tokens; no secret is shown."""
    (tmp_path / "p").write_text("the-password\n", "utf-8")
    (tmp_path / "t").write_text("a-token-of-fair-length\n", "utf-8")
    file = tmp_path / "g.yaml"
    file.write_text(f"access: {{tokens: [{{name: ci, secret_file: {tmp_path / 't'}}}]}}\n", "utf-8")
    loaded = load({"store.password_file": str(tmp_path / "p")}, {}, file)
    assert loaded.settings.store.password.get_secret_value() == "the-password"
    assert loaded.settings.access.tokens[0].secret.get_secret_value() == "a-token-of-fair-length"
    shown = repr(loaded.settings) + "".join(map(str, loaded.table()))
    assert "the-password" not in shown
    assert "a-token" not in shown


def test_tokens_from_the_environment() -> None:
    """A list in a variable is JSON."""
    text = '[{"name": "ci", "secret": "a-token-of-fair-length", "scopes": ["ingest"]}]'
    assert load({}, {"GNOMON_ACCESS_TOKENS": text}, None).settings.access.tokens[0].name == "ci"


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Every mistake is in the one complaint, with its key and origin; secrets are not."""
    file = tmp_path / "g.yaml"
    file.write_text(
        "retention: {traces: soon}\nnope: 1\nstore: {url: {a: 1}, password_file: /not/there}\n"
        "access: {tokens: [{name: x, secret: short-secret}]}\nlimits: {body: {max_in_flight_bytes: 1}}\n",
        "utf-8",
    )
    with pytest.raises(InvalidInput) as refused:
        load({"listen": "x", "query.rows.more": "1"}, {"GNOMON_NOPE": "1", "GNOMON_OTLP_HTTP": "y"}, file)
    letter = str(refused.value)
    for told in (
        "retention.traces: 'soon' is not a duration", f"nope: there is no such setting (file {file})", "store.url",
        "store.password_file: cannot read the secret", "access.tokens.0.secret", "limits.body",
        "listen: 'x' is not HOST:PORT", "(flag)", "query.rows", "GNOMON_NOPE: there is no such setting",
        "otlp.http: 'y'", "(env GNOMON_OTLP_HTTP)",
    ):  # fmt: skip
        assert told in letter, told
    assert "short-secret" not in letter
    assert "Value error" not in letter


@pytest.mark.parametrize("text", ["[1, 2]", "a: b: c", "\x00"])
def test_a_file_that_is_no_map(tmp_path: Path, text: str) -> None:
    """A file that is no YAML map is refused as a whole."""
    (tmp_path / "g.yaml").write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match="config_unreadable"):
        load({}, {}, tmp_path / "g.yaml")
    with pytest.raises(InvalidInput, match="cannot read"):
        load({}, {}, tmp_path / "absent.yaml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    """Nothing configured is nothing changed."""
    (tmp_path / "g.yaml").write_text("", "utf-8")
    assert load({}, {}, tmp_path / "g.yaml").settings == Settings()


def test_every_key_has_one_variable() -> None:
    """No two keys share an environment variable."""
    names = [key.upper().replace(".", "_") for key in keys()]
    assert len(names) == len(set(names))
