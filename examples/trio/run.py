"""Start the three services against an OTLP endpoint, put load on them, stop them in order.

Needs nothing but the standard library; the services are ordinary child processes configured by `OTEL_*` variables.
Exit codes: 0 all went well, 1 a part failed, 2 something is not installed.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import uuid
from asyncio.subprocess import STDOUT, Process
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).resolve().parent
START_S = 30  # importing the SDK, cold, on a busy two-core machine took up to 6 s
STOP_S = 10  # the exporters' own deadline, should the backend be gone
NODE_MODULE = HERE / "node_modules" / "@opentelemetry" / "sdk-node"


class PartError(Exception):
    """A part that did not start, or ended by itself."""


@dataclass
class Part:
    """One child process: how it is started, where it listens, how it ended."""

    name: str
    command: list[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    address: str = ""
    speaks: str = ""
    process: Process | None = None

    async def start(self) -> None:
        """Start the process, its output going to the log."""
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches us alone, and we stop the parts in order.
            self.process = await asyncio.create_subprocess_exec(
                *self.command, cwd=HERE, env=os.environ | self.env, stdout=log, stderr=STDOUT, start_new_session=True
            )

    async def ready(self) -> None:
        """Wait until the part is healthy."""
        for _ in range(START_S * 10):
            if self.process.returncode is not None:
                raise PartError(f"{self.name} exited with code {self.process.returncode} while starting\n{self.tail()}")
            if await self.healthy():
                self.say(f"ready    {self.address}  {self.speaks}")
                return
            await asyncio.sleep(0.1)
        raise PartError(f"{self.name} did not listen on {self.address} within {START_S} s\n{self.tail()}")

    async def healthy(self) -> bool:
        """Whether the part accepts connections and, speaking HTTP, answers 200 on /healthz."""
        host, port = self.address.rsplit(":", 1)
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            with closing(writer):
                if not self.speaks.startswith("HTTP"):
                    return True
                writer.write(f"GET /healthz HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
        except OSError:
            return False

    async def stop(self) -> bool:
        """Ask, wait, then kill the whole group; true when it ended well."""
        if self.process is None:
            return True
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            self.say(f"killed   still there {STOP_S} s after SIGTERM, see {self.log}")
        with suppress(ProcessLookupError):  # nothing left over: the normal case
            os.killpg(self.process.pid, signal.SIGKILL)
        code = await self.process.wait()
        well = code in (0, -signal.SIGTERM)  # uvicorn re-raises the signal once it has shut down
        self.say("stopped" if well else f"failed   exit code {code}, see {self.log}")
        return well

    def say(self, what: str) -> None:
        """Print the part's status line."""
        print(f"  {self.name:<11}{what}", flush=True)

    def tail(self) -> str:
        """The end of the log, for a message."""
        lines = self.log.read_text(errors="replace").splitlines()[-8:]
        return "\n".join(f"    | {line[:200]}" for line in lines)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def otel(
    options: argparse.Namespace, run: str, service: str, endpoint: str, protocol: str, **more: str
) -> dict[str, str]:
    """The standard variables of one service."""
    env = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={service}-{run},deployment.environment.name=demo",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
        "OTEL_METRIC_EXPORT_TIMEOUT": "2000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    }
    if options.token:
        env["OTEL_EXPORTER_OTLP_HEADERS"] = f"authorization={quote('Bearer ' + options.token)}"
    return env | more


def services(options: argparse.Namespace, run: str, logs: Path) -> list[Part]:
    """In the order of starting: a service comes after those it calls. Each speaks OTLP in a dialect of its own."""
    pricing, orders, storefront = free_address(), free_address(), free_address()
    # OTLP over gRPC wants a URL as well; http:// says that there is no TLS.
    grpc_url = options.otlp_grpc if "://" in options.otlp_grpc else f"http://{options.otlp_grpc}"
    seed = {"TRIO_SEED": str(options.seed)}
    return [
        Part(
            "pricing",
            [sys.executable, "pricing.py"],
            logs / "pricing.log",
            {"PRICING_ADDRESS": pricing, **seed}
            | otel(options, run, "pricing", options.otlp_http, "http/protobuf", OTEL_EXPORTER_OTLP_COMPRESSION="gzip"),
            pricing,
            "gRPC; OTLP http/protobuf, gzip",
        ),
        Part(
            "orders",
            ["node", "orders.js"],
            logs / "orders.log",
            {"ORDERS_ADDRESS": orders}
            | otel(
                options,
                run,
                "orders",
                options.otlp_http,
                "http/json",
                OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            ),
            orders,
            "HTTP; OTLP http/json, delta metrics",
        ),
        Part(
            "storefront",
            [sys.executable, "storefront.py"],
            logs / "storefront.log",
            {"STOREFRONT_ADDRESS": storefront, "PRICING_ADDRESS": pricing, "ORDERS_URL": f"http://{orders}"}
            | otel(options, run, "storefront", grpc_url, "grpc"),
            storefront,
            "HTTP; OTLP gRPC",
        ),
    ]


def load(options: argparse.Namespace, url: str, logs: Path, report: Path) -> Part:
    command = [sys.executable, "load.py", "--url", url, "--rate", str(options.rate), "--seed", str(options.seed)]
    command += ["--report", str(report)]
    if options.seconds:
        command += ["--seconds", str(options.seconds)]
    return Part("load", command, logs / "load.log")


async def demo(options: argparse.Namespace, logs: Path, stopped: asyncio.Event) -> bool:
    """Run to the end of the load or until stopped; true when every part ended well and every request was answered."""
    run, report = uuid.uuid4().hex[:8], logs / "load.json"
    report.unlink(missing_ok=True)
    parts = services(options, run, logs)
    customers = load(options, f"http://{parts[-1].address}", logs, report)
    well = True
    try:
        for part in parts:
            await part.start()
        for part in parts:
            await part.ready()
        await customers.start()
        customers.say(
            f"started  {options.rate:g} requests/s, {f'{options.seconds:g} s' if options.seconds else 'until stopped'}"
        )
        await first_end([*parts, customers], stopped)
    except PartError as failure:
        print(f"  {failure}", file=sys.stderr, flush=True)
        well = False
    finally:
        # The load first, then callers before those they call; each flushes its telemetry.
        ended = [await part.stop() for part in (customers, *reversed(parts))]
    return well and all(ended) and reported(report, run)


async def first_end(parts: list[Part], stopped: asyncio.Event) -> None:
    """Return when the load has ended or we are told to stop; a service that ends by itself is a failure."""
    waits = {asyncio.create_task(part.process.wait()): part for part in parts}
    told = asyncio.create_task(stopped.wait())
    done, pending = await asyncio.wait([*waits, told], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done - {told}:
        if waits[task].name != "load":
            raise PartError(f"{waits[task].name} ended by itself with code {task.result()}\n{waits[task].tail()}")


def reported(report: Path, run: str) -> bool:
    """Add the run to the load's report, which check.py reads; false when there is none or a request went unanswered."""
    if not report.exists():
        return False
    counts = json.loads(report.read_text()) | {"run": run}
    report.write_text(json.dumps(counts))
    print(f"  load       {counts['requests']} requests {counts['statuses']}; report {report}", flush=True)
    return "none" not in counts["statuses"] and counts["requests"] > 0


async def until_stopped(options: argparse.Namespace, logs: Path) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return 0 if await demo(options, logs, stopped) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--otlp-grpc", default="127.0.0.1:4317", help="HOST:PORT or URL")
    parser.add_argument("--otlp-http", default="http://127.0.0.1:4318", help="URL")
    parser.add_argument("--token", default="", help="sent as a Bearer token")
    parser.add_argument("--rate", type=float, default=10, help="requests per second")
    parser.add_argument("--seconds", type=float, help="length of the load; until stopped, when not given")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--logs", type=Path, help="directory for the parts' output and load.json")
    options = parser.parse_args()
    if not shutil.which("node") or not NODE_MODULE.is_dir():
        missing = "its packages are not installed" if shutil.which("node") else "there is no `node` on the PATH"
        print(f"The orders service runs on Node 18.19 or newer, and {missing}.", file=sys.stderr)
        print(f"Run `make demo`, which sees to it, or `npm ci` in {HERE}.", file=sys.stderr)
        return 2
    logs = options.logs or Path(tempfile.mkdtemp(prefix="trio-"))
    logs.mkdir(parents=True, exist_ok=True)
    return asyncio.run(until_stopped(options, logs))


if __name__ == "__main__":
    sys.exit(main())
