"""`gnomon promql` against a real server, whose samples came by remote write; its chart in a terminal of 80 by 24."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests import real_prometheus
from tests.remote_write import V1, compressed, request
from tests.server import Server

from gnomon_server.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "promql.md"
TENANT = "promql-cli"
END_MS = int(time.time()) * 1000 // 60_000 * 60_000
STEP_MS, STEPS = 15_000, 241
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def ask(gnomon: Server) -> Ask:
    """The verb with its arguments, for a tenant with two counters, a gauge and a native histogram."""
    status, _, body = gnomon.post(
        f"{gnomon.api}/api/v1/write", _samples(), Content_Encoding="snappy", X_Scope_OrgID=TENANT
    )
    assert status == 204, body

    def ask(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["promql", "--api", gnomon.api, "--tenant", TENANT, *arguments])

    return ask


def _samples() -> bytes:
    times = [END_MS - STEP_MS * (STEPS - 1 - step) for step in range(STEPS)]
    series: list[dict[str, object]] = [
        {
            "labels": {"__name__": "requests_total", "job": "shop", "code": code},
            "samples": [(step * slope, at) for step, at in enumerate(times)],
        }
        for code, slope in (("200", 30), ("500", 1.5))
    ]
    series.append({"labels": {"__name__": "queue"}, "samples": [(1.0, at) for at in times[-2:]]})
    native = {
        "count_int": 3, "sum": 6.5, "schema": 0, "zero_threshold": 0.001, "zero_count_int": 1, "timestamp": times[-1],
        "positive_spans": [{"offset": 1, "length": 1}], "positive_deltas": [2],
    }  # fmt: skip
    series.append({"labels": {"__name__": "latency"}, "histograms": [native]})
    return compressed(request(V1, series))


def test_an_instant_is_a_table(ask: Ask) -> None:
    """Common labels once, a line for each series; how many there are stands on standard error."""
    shown = ask("rate(requests_total[5m])", "--at", f"{END_MS // 1000}")
    assert (shown.exit_code, shown.stdout.splitlines()) == (
        0,
        ['{job="shop"}', "code  value", "200     2", "500     0.1"],
    )
    assert shown.stderr.startswith("2 series at 20")
    assert ask("requests_total", "--at", f"{END_MS // 1000}", "--limit", "1").stderr.splitlines()[1] == (
        "warning: results truncated due to limit"
    )
    assert ask("scalar(queue) + 1", "--at", f"{END_MS // 1000}").stdout == "2\n"
    assert ask('"a text"').stdout == "a text\n"
    shown = ask("latency", "--at", f"{END_MS // 1000}")
    assert shown.stdout.splitlines() == [
        "latency",
        "  count 3  sum 6.5  avg 2.16667",
        "  [-0.001, 0.001]  1  ████████████",
        "           (1, 2]  2  ████████████████████████",
    ]


def test_a_range_that_is_piped(ask: Ask) -> None:
    """A table; CSV and JSON say the same, exactly."""
    when = ("--range", "2m", "--end", f"{END_MS // 1000}", "--step", "1m")
    lines = ask("requests_total", *when).stdout.splitlines()
    assert lines[0] == 'requests_total{job="shop"}'
    assert [line.split()[-1] for line in lines[1:]] == ["value", "6,960", "7,080", "7,200", "348", "354", "360"]
    rows = list(csv.DictReader(io.StringIO(ask("requests_total / 7", *when, "--format", "csv").stdout)))
    tree = json.loads(ask("requests_total / 7", *when, "--format", "json").stdout)
    assert [row["value"] for row in rows] == [value for one in tree["data"]["result"] for _, value in one["values"]]
    assert len(rows) == 6


def test_a_note_of_the_server(ask: Ask) -> None:
    """Infos stand after the answer, in the server's words."""
    noted = ask("rate(queue[5m])", "--at", f"{END_MS // 1000}").stderr
    assert (
        'info: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "queue"'
        in noted
    )


def test_refusals(ask: Ask) -> None:
    """In the server's words, the place underlined; exit code 1."""
    shown = ask("sum by (code) (requests_total) + sun(queue)")
    assert shown.exit_code == 1
    assert 'Error: invalid parameter "query": 1:34: parse error: unknown function with name "sun"' in shown.stderr
    assert shown.stderr.splitlines()[-1] == " " * 35 + "^^^"
    shown = ask("requests_total + on () requests_total", "--at", f"{END_MS // 1000}")
    assert shown.exit_code == 1
    assert "found duplicate series" in shown.stderr
    assert ask("queue", "--range", "10y", "--step", "1s").exit_code == 1
    nobody = CliRunner().invoke(main, ["promql", "--api", "http://127.0.0.1:1", "up"])
    assert (nobody.exit_code, "no server answers at http://127.0.0.1:1" in nobody.stderr) == (1, True)
    assert ask("queue", "--at", "soon").exit_code == 2


def test_nothing_there(ask: Ask) -> None:
    """Exit code 0, and why: the metric, the label, the time. The names are the tenant's own."""
    at = ("--at", f"{END_MS // 1000}")
    for query, why in (
        ("request_total", "no metric request_total is known; near are: requests_total"),
        ('requests_total{code="50"}', 'no series of requests_total has code="50"; near are: 500'),
        ("queue > 1", "its metrics are known"),
    ):
        shown = ask(query, *at)
        assert (shown.exit_code, shown.stdout) == (0, "")
        assert shown.stderr.splitlines()[0].startswith("0 series at ")
        assert shown.stderr.splitlines()[1].startswith(why)


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus_is_asked(tmp_path: Path) -> None:
    """Any server with this API will do: it answers, refuses, and has names that are near."""
    with real_prometheus.running(tmp_path) as address:
        real_prometheus.write(address, _samples())
        at = ("--api", address, "--at", f"{END_MS // 1000}")
        shown = CliRunner().invoke(main, ["promql", 'requests_total{code="200"} / 2', *at])
        assert shown.stdout.splitlines() == ['{code="200", job="shop"}', "value", "3,600"]
        shown = CliRunner().invoke(main, ["promql", "sum(queue", *at])
        assert shown.exit_code == 1
        assert "1:10: parse error: unclosed left parenthesis" in shown.stderr
        assert shown.stderr.splitlines()[-2:] == ["  sum(queue", " " * 11 + "^"]
        shown = CliRunner().invoke(main, ["promql", "ques", *at])
        assert "near are: queue" in shown.stderr


def test_the_commands_of_the_page(ask: Ask) -> None:
    """Those of docs/promql.md are answered as they stand there."""
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        assert words[:2] == ["gnomon", "promql"]
        shown = ask(*words[2:])
        assert shown.exit_code == 0, (line, shown.output)


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_a_chart_in_a_terminal(ask: Ask, gnomon: Server, no_colour: str) -> None:
    """It fits into 80 columns and 24 lines with the prompt below; colours unless NO_COLOR is set."""
    arguments = ["promql", "--api", gnomon.api, "--tenant", TENANT, "rate(requests_total[5m])", "--range"]
    text = _in_a_terminal([*arguments, "--end", f"{END_MS // 1000}"], no_colour)
    plain = COLOURS.sub("", text)
    lines = plain.splitlines()
    assert (text == plain) == bool(no_colour)
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert lines[0] == '{job="shop"}'
    assert any(line.startswith("a code=200") for line in lines)
    assert any(line.startswith("UTC") for line in lines)
    assert lines[-1].startswith("2 series from ")


def _in_a_terminal(arguments: list[str], no_colour: str) -> str:
    """What the command writes into a terminal of 80 columns and 24 lines."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    sizes = {"COLUMNS", "LINES"}
    environment = {name: value for name, value in os.environ.items() if name not in sizes}
    environment |= {"TERM": "xterm-256color", "NO_COLOR": no_colour}
    command = [sys.executable, "-m", "gnomon_server.cli", *arguments]
    with subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, env=environment) as process:
        os.close(follower)
        found = b""
        while piece := _read(leader):
            found += piece
        assert process.wait(60) == 0, found
    os.close(leader)
    return found.decode().replace("\r\n", "\n")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65_536)
    except OSError:  # Linux says so once the other side has closed the terminal
        return b""
