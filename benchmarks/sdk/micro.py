"""What one span, metric update, log line or gRPC call costs, and what an import takes; all in one run, interleaved.

    python benchmarks/sdk/micro.py [--rounds 3] [--only span]

Each case is a process of its own on one core, the receiver on another; `run.py --setup` installs what is needed. A
case whose records did not all arrive is marked. The first repeat of each warms up.
"""

import argparse
import json
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from run import HERE, OTHER_CORE, SERVICE_CORE, VENVS, Sink, machine, spread

# What is compared with what; the case's first word is its stack, and `PILLAR` what must arrive of each operation.
GROUPS = {
    "span, no attributes": ("gnomon span", "otel span"),
    "span, 5 attributes": ("gnomon span5", "otel span5"),
    "histogram update": ("gnomon histogram", "otel histogram", "prometheus histogram"),
    "histogram update, cell kept": ("gnomon histogram-kept", "prometheus histogram-kept"),
    "counter update, cell kept": ("gnomon counter-kept",),
    "log line, 2 fields": ("gnomon log", "otel structlog", "structlog json", "logging text"),
    "line of the standard library": ("gnomon stdlib", "otel stdlib"),
}
VENV_OF = {
    "gnomon": "gnomon",
    "bare": "gnomon",
    "otel": "otel",
    "prometheus": "otel",
    "structlog": "otel",
    "logging": "otel",
}
SENDING = ("gnomon", "otel")
PILLAR = {"span": "spans", "histogram": "metrics", "log": "logs", "structlog": "logs", "stdlib": "logs"}
IMPORTS = {
    "import gnomon": ("gnomon", "import gnomon"),
    "gnomon.instrument()": ("gnomon", "import gnomon; gnomon.instrument(**{'export.protocol': 'none'})"),
    "OpenTelemetry's SDK, exporters, and FastAPI's instrumentation": (
        "otel", "from stacks import exporting; import opentelemetry.instrumentation.fastapi",
    ),
    "import logfire": ("logfire", "import logfire"),
    "import sentry_sdk": ("sentry", "import sentry_sdk"),
    "import ddtrace": ("ddtrace", "import ddtrace"),
    "import elasticapm": ("elastic", "import elasticapm"),
}  # fmt: skip
TIMED = "import time; t = time.perf_counter(); {}; print((time.perf_counter() - t) * 1e3)"


def child(venv: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of an environment, on the measured core."""
    command = ["taskset", "-c", SERVICE_CORE, str(VENVS / venv / "bin/python"), *arguments]
    environment = {"PYTHONPATH": str(HERE), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, check=False, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def reported(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a child measured: its last line on standard error."""
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found


def case(name: str, sink: Sink, figures: dict[str, dict[str, list[float]]], lost: dict[str, str]) -> None:
    """Run one case."""
    sink.reset()
    stack, what = name.split()
    found = reported(child(VENV_OF[stack], "cases.py", name, sink.url))
    for figure in ("calling_us", "all_us"):
        figures[name][figure].append(statistics.median(found[figure]))
    pillar = PILLAR.get(what.rstrip("5").removesuffix("-kept"))
    arrived = sink.counts().get(pillar, 0) if pillar else 0
    if stack in SENDING and pillar and arrived != found["operations"]:
        lost[name] = f"{arrived:,} of {found['operations']:,} arrived"


def call(stack: str, style: str, sink: Sink, figures: dict[str, dict[str, list[float]]], lost: dict[str, str]) -> None:
    """Run gRPC calls: a span of the server and one of the client each."""
    sink.reset()
    name = f"{stack} {style}"
    found = reported(child(VENV_OF[stack], "calls.py", stack, style, sink.url))
    figures[name]["all_us"].append(statistics.median(found["all_us"]))
    arrived, due = sink.counts().get("spans", 0), 2 * found["operations"]
    if stack != "bare" and arrived != due:
        lost[name] = f"{arrived:,} of {due:,} spans arrived"


def tables(figures: dict[str, dict[str, list[float]]], lost: dict[str, str]) -> Iterable[str]:
    """As Markdown."""
    yield "\n| | | calling thread, us | all of it, sent, us | |\n|---|---|---|---|---|"
    for group, names in GROUPS.items():
        for name in names:
            if name in figures:
                calling, whole = (spread(figures[name][figure], 2) for figure in ("calling_us", "all_us"))
                yield f"| {group} | {name} | {calling} | {whole} | {lost.get(name, '')} |"
    yield "\n| gRPC call, unary, both sides | CPU us | added us | |\n|---|---|---|---|"
    for style in ("sync", "aio"):
        bare = figures.get(f"bare {style}", {}).get("all_us", [])
        for stack in ("bare", "gnomon", "otel"):
            name = f"{stack} {style}"
            if bare and name in figures:
                us = figures[name]["all_us"]
                added = [one - other for one, other in zip(us, bare, strict=True)]
                yield f"| {name} | {spread(us)} | {spread(added, 1)} | {lost.get(name, '')} |"
    yield "\n| | ms |\n|---|---|"
    for name in IMPORTS:
        if name in figures:
            yield f"| {name} | {spread(figures[name]['ms'], 1)} |"


def main() -> None:
    """All rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this; `sync` and `aio` are gRPC's")
    arguments = parser.parse_args()
    print(machine(), f"; receiver on core {OTHER_CORE}", flush=True)
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    lost: dict[str, str] = {}
    sink = Sink()
    try:
        for _ in range(arguments.rounds):
            for name in (name for names in GROUPS.values() for name in names if arguments.only in name):
                case(name, sink, figures, lost)
            for style in ("sync", "aio"):
                for stack in ("bare", "gnomon", "otel"):
                    if arguments.only in f"{stack} {style}":
                        call(stack, style, sink, figures, lost)
            for name, (venv, code) in IMPORTS.items():
                if arguments.only in name:
                    figures[name]["ms"].append(float(child(venv, "-c", TIMED.format(code)).stdout))
    finally:
        sink.stop()
    print("\n".join(tables(figures, lost)))


if __name__ == "__main__":
    main()
