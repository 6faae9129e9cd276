"""PromQL that means harm, against a real server: clear errors with the spot, bounded memory, nothing that goes on."""

import concurrent.futures
import http.client
import json
import socket
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.remote_write import V1, compressed, content_type, request
from tests.server import Server
from tests.waiting import until

SERIES, SAMPLES, EVERY_MS = 200, 40, 15_000
MIB = 1 << 20
# Some seconds of arithmetic on one series, and next to nothing of it in the engine.
HEAVY = "quantile_over_time(0.9, stddev_over_time(vector(1)[1h:1s])[50d:1s])"
# 250 reads of the engine, each of them other series.
MANY_READS = " or ".join(f'count_over_time(requests_total{{path!="{number}"}}[1h])' for number in range(250))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """With some series of one metric, and ten minutes of samples that end now."""
    with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:  # a short path: the engine's socket is in it
        made = Server(Path(folder), ("--set", "own_telemetry_s=0", "--set", "query.deadline_s=20"))
        made.start()
        try:
            fill(made)
            yield made
        finally:
            made.stop()


def fill(server: Server) -> None:
    """Write the series."""
    now_ms = time.time_ns() // 1_000_000 // EVERY_MS * EVERY_MS
    times = [now_ms - EVERY_MS * back for back in reversed(range(SAMPLES))]
    series = [
        {
            "labels": {"__name__": "requests_total", "job": "shop", "path": str(number), "code": str(number % 5)},
            "samples": [(float(number + step), at) for step, at in enumerate(times)],
        }
        for number in range(SERIES)
    ]
    assert written(server, series) == 204


def written(server: Server, series: list[dict[str, Any]]) -> int:
    """Remote write; the status."""
    body = compressed(request(V1, series))
    return server.post(f"{server.api}/api/v1/write", body, content_type(V1), Content_Encoding="snappy")[0]


def ask(server: Server, query: str, **parameters: str) -> tuple[int, dict[str, Any]]:
    """`/query`, or with a `step` `/query_range`. What is no UTF-8 stands as surrogate escapes."""
    path = "query_range" if "step" in parameters else "query"
    body = urllib.parse.urlencode({"query": query, **parameters}, errors="surrogateescape").encode()
    try:
        with urllib.request.urlopen(f"{server.api}/api/v1/{path}", body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def over_time(*, start_s: int = 0, end_s: int = 0, step: str = "15") -> dict[str, str]:
    """The parameters of a range query; by default of half an hour, up to after the samples that are written soon."""
    end_s = end_s or int(time.time()) + 60
    return {"start": str(start_s or end_s - 1800), "end": str(end_s), "step": step}


# The text ------------------------------------------------------------------------------------------------------------

UNREADABLE = {
    "nothing": ("", "unknown position: parse error: no expression found in input"),
    "blanks": ("  \n", "1:1: parse error: no expression found in input"),
    "parentheses": ("(" * 10_000 + "1" + ")" * 10_000, "1:129: parse error: the expression nests deeper"),
    "left parentheses": ("(" * 40_000, "1:129: parse error: the expression nests deeper"),
    "calls": ("abs(" * 24_000, "1:513: parse error: the expression nests deeper"),
    "signs": ("-" * 99_000 + "1", "1:129: parse error: the expression nests deeper"),
    "powers": ("1" + "^1" * 30_000, "1:257: parse error: the expression nests deeper"),
    "a thousand or": (" or ".join(["x"] * 1000), "1:1: parse error: more than 256 operators"),
    "sums": ("1" + "+1" * 45_000, "1:1: parse error: more than 256 operators"),
    "subqueries of nothing": ("x" + "[1m:1s]" * 10_000, "1:1: parse error: more than 256 operators"),
    "durations": ("x[" + "(" * 40_000 + "1" + ")" * 40_000 + "]", "1:130: parse error: the expression nests deeper"),
    "arguments": ("abs(" + "x," * 40_000 + "x)", 'expected 1 argument(s) in call to "abs", got 40001'),
    "groups of a pattern": ('x{a=~"' + "(" * 90_000 + '"}', "1:107: parse error: error parsing regexp"),
    "repeats of a pattern": ('x{a=~"((a{100}){100}){100}"}', "1:16: parse error: error parsing regexp"),
    "classes of a pattern": ('x{a=~"' + "[[" * 40_000 + '"}', "error parsing regexp: missing closing ]"),
    "too long": ("x" * 100_001, "the expression has 100001 characters; 100000 are allowed"),
    "bytes that are no UTF-8": ("x{\udcff}", "1:3: parse error: unexpected character inside braces"),
    "NUL": ("x\x00", "1:2: parse error: unexpected character: '\\x00'"),
    "a number": ("9" * 99_000, "1:1: parse error: error parsing number"),
    "a time": ("x @ 1e300", "1:1: parse error: timestamp out of bounds for @ modifier"),
    "no time": ("x @ NaN", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"),
    "an offset": ("x offset 300y", "1:10: parse error: duration out of range"),
    "an unknown function": ("y" * 50_000 + "(x)", '1:1: parse error: unknown function with name "yyyy'),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_its_place(server: Server, name: str) -> None:
    """400 `bad_data`; the message names line and column, and is short however long the text."""
    text, words = UNREADABLE[name]
    code, answer = ask(server, text)
    assert (code, answer["errorType"]) == (400, "bad_data"), answer
    assert answer["error"].startswith('invalid parameter "query": ')
    assert words in answer["error"]
    assert len(answer["error"]) < 1500


def test_a_body_that_is_too_large(server: Server) -> None:
    """413, before it is read as a form."""
    code, answer = ask(server, '"' + "x" * (2 * MIB) + '"')
    assert (code, answer["errorType"]) == (413, "bad_data")


# The evaluation ------------------------------------------------------------------------------------------------------

UNANSWERABLE: Mapping[str, tuple[str, dict[str, str], int, str, str]] = {
    "ten years by the second": (
        "requests_total", over_time(start_s=1_400_000_000, end_s=1_715_360_000, step="1"),
        400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries",
    ),
    "a year by the millisecond": (
        "max_over_time(requests_total[1y:1ms])", {}, 422, "execution", "a subquery has 31,536,000,000 steps",
    ),
    "292 years by the millisecond": (
        "max_over_time(vector(1)[292y:1ms])", {}, 422, "execution", "would load too many samples into memory",
    ),
    "subqueries of subqueries": (
        "max_over_time(" * 5 + "vector(1)" + "[292y:1m])" * 5, {}, 422, "execution", "a subquery has 153,4",
    ),
    "many series by the millisecond": (
        "max_over_time(requests_total[1h:1ms])", {}, 422, "execution", "would load too many samples into memory",
    ),
    "a match of many to many": (
        "requests_total * on(job) requests_total", {}, 422, "execution", "found duplicate series for the match group",
    ),
    "the same for each step": (
        "requests_total * on(job) group_left requests_total", over_time(), 422, "execution", "found duplicate series",
    ),
    "infinitely many": ("topk(Inf, requests_total)", {}, 422, "execution", "Scalar value +Inf overflows int64"),
    "no number of them": ("limitk(NaN, requests_total)", {}, 422, "execution", "Parameter value is NaN"),
    "no ratio": ("limit_ratio(NaN, requests_total)", {}, 422, "execution", "Ratio value is NaN"),
    "a factor that is none": (
        "double_exponential_smoothing(requests_total[5m], NaN, 2)", {}, 422, "execution", "invalid trend factor",
    ),
    "a name that is no UTF-8": (
        'count_values("\\xff", requests_total)', {}, 422, "execution", 'invalid label name "\\xff"',
    ),
    "a pattern as large as a galaxy": (
        'label_replace(requests_total, "a", "$1", "path", "(a{1000}){1000}")', {},
        422, "execution", "invalid regular expression in label_replace()",
    ),
    "a pattern that is no UTF-8": (
        'label_replace(requests_total, "a", "$1", "path", "\\xff")', {},
        422, "execution", "invalid regular expression in label_replace()",
    ),
    "a time that is none": ("requests_total", {"time": "NaN"}, 400, "bad_data", 'invalid parameter "time"'),
    "no step": ("1", over_time(step="0"), 400, "bad_data", 'invalid parameter "step"'),
    "a step beyond all": ("1", over_time(step="9e18"), 400, "bad_data", "overflows int64"),
    "a timeout beyond all": ("1", {"timeout": "1e300"}, 400, "bad_data", "overflows int64"),
    "a timeout in the past": ("vector(1)", {"timeout": "-1"}, 503, "timeout", "query timed out"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNANSWERABLE)
def test_what_cannot_be_answered_is_refused_with_the_reason(server: Server, name: str) -> None:
    """Status, errorType and words are Prometheus'."""
    query, parameters, status, kind, words = UNANSWERABLE[name]
    code, answer = ask(server, query, **parameters)
    assert (code, answer["errorType"]) == (status, kind), answer
    assert words in answer["error"]


ANSWERED: Mapping[str, tuple[str, dict[str, str] | Callable[[], dict[str, str]], int]] = {
    "everything": ('{__name__=~".+"}', {}, SERIES),
    "every value": ('count_values("v", requests_total)', {}, SERIES),
    "every value of everything": ('count_values("v", {__name__=~".+"})', over_time, SERIES + SAMPLES - 1),
    "292 years": ("count_over_time(requests_total[292y])", {}, SERIES),
    "292 years at each step": ("count_over_time(requests_total[292y])", over_time, SERIES),
    "292 years back": ("requests_total offset 292y", {}, 0),
    "292 years ahead": ("requests_total offset -292y", {}, 0),
    "the last time": ("rate(requests_total[292y] @ 9e15 offset -292y)", {}, 0),
    "the first time": ("requests_total @ -9e15 offset 292y", {}, 0),
    "a query at the last time": ("rate(requests_total[5m])", {"time": "9e15"}, 0),
    "a query at the first time": ("requests_total", {"time": "-9e15"}, 0),
    "before 1970": ("rate(requests_total[5m])", {"start": "-5000", "end": "5000", "step": "1"}, 0),
    "from the first time to the last": ("requests_total", {"start": "-9e12", "end": "9e12", "step": "9e9"}, 0),
    "nested stars": ('requests_total{path=~"(((.*)*)*)*x"}', {}, 0),
    "sums of repeats": ('requests_total{path=~"' + "(x+x+)+" * 3000 + 'y"}', {}, 0),
    "many choices": ('requests_total{path=~"' + "|".join(map(str, range(8000))) + '"}', {}, SERIES),
    "nested stars in a function": (
        'label_replace(requests_total, "a", "$1", "path", "((((.*)*)*)*)*")', {}, SERIES,
    ),
    "a value that is no UTF-8": ('label_join(requests_total, "a", "\\xff", "path", "job")', {}, SERIES),
    "a matcher that is no UTF-8": ('requests_total{path="\\xff"}', {}, 0),
    "no quantile": ("quantile(NaN, requests_total)", {}, 1),
    "no limits": ("clamp(requests_total, NaN, Inf)", {}, SERIES),
    "infinitely far": ("predict_linear(requests_total[5m], Inf)", {}, SERIES),
    "the day of no time": ("day_of_month(vector(1e300))", {}, 1),
    "forty subqueries": ("max_over_time(" * 40 + "vector(1)" + "[1d:1m])" * 40, {}, 1),
    "126 parentheses": ("(" * 126 + "vector(1)" + ")" * 126, {}, 1),
    "five million steps": ("max_over_time(vector(1)[4999s:1ms])", {}, 1),
    "an endless timeout": ("vector(1)", {"timeout": "292y"}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_strange_and_possible_is_answered(server: Server, name: str) -> None:
    """200, with so many series."""
    query, parameters, series = ANSWERED[name]
    code, answer = ask(server, query, **(parameters if isinstance(parameters, dict) else parameters()))
    assert code == 200, answer
    assert len(answer["data"]["result"]) == series


# What goes on ---------------------------------------------------------------------------------------------------------


def status_of(pid: int, name: str) -> int:
    """A line of `/proc/<pid>/status` in bytes."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(text.partition(f"{name}:")[2].split()[0]) * 1024


def pid_of(server: Server) -> int:
    """The server's."""
    assert server.process is not None
    return server.process.pid


def test_refusing_takes_no_memory(server: Server) -> None:
    """What is too large is refused before it is made: the peak stays where it was."""
    for query in ("max_over_time(vector(1)[1m:1s])", "max_over_time(requests_total[1m:1s])"):
        assert ask(server, query)[0] == 200  # what these are made with is compiled now
    pid = pid_of(server)
    Path(f"/proc/{pid}/clear_refs").write_text("5", "utf-8")  # the peak is now what is in use
    before = status_of(pid, "VmHWM")
    for query in (
        "max_over_time(vector(1)[292y:1ms])",
        "max_over_time(" * 100 + "vector(1)" + "[1y:1s])" * 100,
        "max_over_time(requests_total[1h:1ms])",
        "(" * 99_999,
    ):
        assert ask(server, query)[0] in (400, 422)
    assert status_of(pid, "VmHWM") - before < 64 * MIB


def engine(server: Server) -> list[str]:
    """The engine's running queries, save ours."""
    connection = http.client.HTTPConnection("engine")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(server.folder / "data" / "engine.sock"))
    connection.request("POST", "/", "SELECT query FROM system.processes WHERE query NOT LIKE '%processes%' FORMAT TSV")
    running = connection.getresponse().read().decode().splitlines()
    connection.close()
    return running


def busy_s(server: Server) -> float:
    """Processor time of the server until now."""
    fields = Path(f"/proc/{pid_of(server)}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # clock ticks: 100 a second on every Linux that we know


def quiet(server: Server) -> bool:
    """The server does next to nothing for half a second, and the engine nothing for it."""
    before = busy_s(server)
    time.sleep(0.5)
    return busy_s(server) - before < 0.2 and not engine(server)


@pytest.mark.parametrize("query", [HEAVY, MANY_READS], ids=["arithmetic", "reads"])
def test_past_its_time_a_query_ends_and_does_not_go_on(server: Server, query: str) -> None:
    """503 `timeout`; then neither our thread nor the engine works for it: both would have for many seconds more."""
    code, answer = ask(server, query, timeout="500ms", **over_time(step="1") if query is MANY_READS else {})
    assert (code, answer["errorType"]) == (503, "timeout")
    until(lambda: quiet(server))
    assert ask(server, "vector(1)")[0] == 200


@pytest.mark.parametrize("query", [HEAVY, MANY_READS], ids=["arithmetic", "reads"])
def test_when_the_client_leaves_its_query_ends(server: Server, query: str) -> None:
    """As soon as the connection is closed, here and in the engine."""
    parameters = over_time(step="1") if query is MANY_READS else {}
    body = urllib.parse.urlencode({"query": query, **parameters})
    connection = http.client.HTTPConnection(server.api.removeprefix("http://"))
    path = "query_range" if parameters else "query"
    began_s = busy_s(server)
    connection.request("POST", f"/api/v1/{path}", body, {"Content-Type": "application/x-www-form-urlencoded"})
    until(lambda: engine(server) if parameters else busy_s(server) - began_s > 0.5)
    connection.close()
    until(lambda: quiet(server))


def test_neighbours_are_answered_and_stored_meanwhile(server: Server) -> None:
    """While others compute for seconds, a small query and a small write are not held up until they end."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        heavy = [pool.submit(ask, server, HEAVY, timeout="8s") for _ in range(3)]
        began_s = busy_s(server)
        until(lambda: busy_s(server) - began_s > 0.5)
        for _ in range(3):
            assert ask(server, "count(requests_total)")[0] == 200
            point = {"labels": {"__name__": "neighbour"}, "samples": [(1.0, time.time_ns() // 1_000_000)]}
            assert written(server, [point]) == 204
        assert not any(query.done() for query in heavy)
        concurrent.futures.wait(heavy)
