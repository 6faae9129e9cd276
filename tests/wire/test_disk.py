"""The disk report: of what was sent, by table, day and tenant; only for whoever administers."""

import json

from click.testing import CliRunner
from tests import otlp
from tests.otlp import PROTOBUF
from tests.server import Server

from gnomon_server.cli import main


def test_the_report(gnomon: Server) -> None:
    """Sums agree with one another, rows with what was sent; the terminal shows the same with bars."""
    for tenant, count in (("disk-a", 300), ("disk-b", 100)):
        body = otlp.logs("disk", [{"body": otlp.value(f"line {n}")} for n in range(count)]).SerializeToString()
        assert gnomon.post(f"{gnomon.otlp_http}/v1/logs", body, PROTOBUF, X_Scope_OrgID=tenant)[0] == 200
    told = gnomon.get("/disk")
    tables = {table["table"]: table for table in told["tables"]}
    assert {"logs", "tenants", "migrations"} <= set(tables)
    assert tables["logs"]["rows"] >= 400
    assert tables["logs"]["bytes_a_row"] > 0
    assert tables["logs"]["compression_ratio"] > 1
    assert sum(told["signals"].values()) == sum(table["bytes"] for table in tables.values())
    of_day = sum(value for day in told["days"] for signal, value in day.items() if signal != "day")
    partitioned = sum(table["bytes"] for table in tables.values() if table["signal"] != "kept")
    assert of_day == partitioned
    tenants = {row["tenant"]: row for row in told["tenants"]}
    ratio = tenants["disk-a"]["logs"] / tenants["disk-b"]["logs"]
    assert 2.9 < ratio < 3.1
    shares = sum(value for row in told["tenants"] for signal, value in row.items() if signal != "tenant")
    assert abs(shares - partitioned) < 0.1 * partitioned  # it goes on working between the two counts
    assert told["budget_bytes"] > told["held_bytes"]
    assert told["growth_bytes_a_day"] > 0
    shown = CliRunner().invoke(main, ["disk", "--api", gnomon.api], env={"COLUMNS": "140"})
    assert shown.exit_code == 0, shown.output
    for words in ("█", "logs", "disk-a", "days left", "of a budget of"):
        assert words in shown.output
    as_json = CliRunner().invoke(main, ["disk", "--api", gnomon.api, "--json"])
    assert set(json.loads(as_json.output)) == set(told)


def test_nobody_answers() -> None:
    """Words and exit code 1."""
    ended = CliRunner().invoke(main, ["disk", "--api", "http://127.0.0.1:1"])
    assert ended.exit_code == 1
    assert "no server answers" in ended.output
