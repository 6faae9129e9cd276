"""Start every part of the shop against an OTLP endpoint, let the load loose on it, stop all of it in order.

Exit codes: 0 all went well, 1 a part failed, 2 it could not begin.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import STDOUT, Process
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time_ns
from urllib.parse import quote

from gnomon_shop.faults import truth
from gnomon_shop.faults.plan import Plan, PlanError
from gnomon_shop.parts import sdk
from gnomon_shop.settings import NEXT_CHECKOUT, NEXT_VERSION, SERVICES, Settings

START_S = 30  # importing the SDK, cold, on a busy two-core machine took up to 6 s
STOP_S = 20  # calls in progress, then the exporters' own deadline should the backend be gone
LOAD_STOP_S = 15  # visitors wait ten seconds for an answer
DEPLOY_AHEAD_S = 10.0  # a new version is started that long before it gets traffic
LOOK_EVERY_S = 0.5
PORTS = ("outside", "broker", *SERVICES, NEXT_CHECKOUT)
OTLP_GRPC = {"gateway", "checkout", "payment"}  # the others send protobuf by HTTP, compressed


class PartError(Exception):
    """A part that did not start, or ended by itself."""


@dataclass
class Part:
    """One child process: how it is started, where it listens, how it ended."""

    name: str
    module: str
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    address: str = ""
    speaks: str = ""
    stop_s: float = STOP_S
    process: Process | None = None
    stopping: bool = False

    async def start(self) -> None:
        """Start the process, its output going to the log."""
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and we stop the parts in order.
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gnomon_shop.parts.leash", self.module, env=os.environ | self.env,
                stdout=log, stderr=STDOUT, start_new_session=True,
            )  # fmt: skip

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

    async def kept(self) -> None:
        """Return when it ends by itself and well; start it again when something has killed it."""
        while True:
            code = await self.process.wait()
            if self.stopping or code == 0:
                return
            if code > 0:
                raise PartError(f"{self.name} ended by itself with code {code}\n{self.tail()}")
            self.say(f"killed   by signal {-code}; starting it again")
            await self.start()
            await self.ready()

    async def stop(self) -> bool:
        """Ask, wait, then kill the whole group; true when it ended well."""
        self.stopping = True
        if self.process is None:
            return True
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), self.stop_s)
        except TimeoutError:
            self.say(f"killed   still there {self.stop_s:g} s after SIGTERM, see {self.log}")
        with suppress(ProcessLookupError):  # nothing left over: the normal case
            os.killpg(self.process.pid, signal.SIGKILL)
        code = await self.process.wait()
        well = code in (0, -signal.SIGTERM)  # uvicorn re-raises the signal once it has shut down
        self.say("stopped" if well else f"failed   exit code {code}, see {self.log}")
        return well

    def say(self, what: str) -> None:
        """Print the part's status line."""
        print(f"  {self.name:<15}{what}", flush=True)

    def tail(self) -> str:
        """The end of the log, for a message."""
        lines = self.log.read_text(errors="replace").splitlines()[-8:] if self.log.exists() else []
        return "\n".join(f"    | {line[:200]}" for line in lines)


class Shop:
    """All parts of one run."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options, self.dir = options, directory
        self.addresses = _free_addresses()
        self.settings = Settings(
            dir=directory,
            service="",
            seed=options.seed,
            sdk=options.sdk,
            database_url=os.environ.get("SHOP_DATABASE_URL", ""),
            redis_url=os.environ.get("SHOP_REDIS_URL", ""),
            amqp_url=os.environ.get("SHOP_AMQP_URL", ""),
            rate=options.rate,
            seconds=options.seconds or 0.0,
            day_minutes=options.day,
            addresses=self.addresses,
        )
        self.parts = [self._outside(), *self._broker(), *(self._service(name) for name in SERVICES)]
        self.next_checkout = self._service("checkout", NEXT_CHECKOUT, NEXT_VERSION)
        self.load = Part("load", "gnomon_shop.load", directory / "logs" / "load.log", stop_s=LOAD_STOP_S)

    def begin(self) -> None:
        """Say what this run is, plant its faults, and from now on count."""
        start_ns = time_ns()
        told = {
            "start_ns": start_ns,
            "start": truth.rfc3339(start_ns),
            "seed": self.options.seed,
            "rate": self.options.rate,
            "day_minutes": self.options.day,
            "seconds": self.options.seconds,
            "sdk": self.options.sdk,
            "gateway": f"http://{self.addresses['gateway']}",
            "addresses": self.addresses,
            "pid": os.getpid(),
        }
        (self.dir / "shop.json").write_text(json.dumps(told, indent=1) + "\n")
        truth.plant(self.dir, Plan.parsed(self.options.faults, start_ns, self.options.seconds, self.options.seed))
        self.load.env = self._environment(replace(self.settings, service="load", start_ns=start_ns))

    async def deploy(self) -> None:
        """For as long as a bad deploy is planned, a second checkout runs beside the first."""
        plan, part = Plan.load(self.dir / "plan.json"), self.next_checkout
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            plan.look()
            now = time_ns()
            wanted = any(
                fault.kind == "bad_deploy" and fault.start_ns - DEPLOY_AHEAD_S * 1e9 <= now < fault.end_ns
                for fault in plan
            )
            if wanted and part.process is None:
                await part.start()
                await part.ready()
            elif not wanted and part.process is not None:
                await part.stop()
                part.process, part.stopping = None, False

    def _service(self, name: str, place: str = "", version: str = "") -> Part:
        settings = replace(self.settings, service=name, place=place, version=version or self.settings.version)
        grpc = name in OTLP_GRPC
        serves = {"recommendation": "gRPC", "payment": "gRPC", "notification": "queue"}.get(name, "HTTP")
        return Part(
            place or name,
            "gnomon_shop.services",
            self.dir / "logs" / f"{place or name}.log",
            self._environment(settings) | otel(self.options, grpc=grpc),
            self.addresses[place or name],
            f"{serves}; OTLP {'gRPC' if grpc else 'http/protobuf, gzip'}",
        )

    def _outside(self) -> Part:
        settings = replace(self.settings, service="outside")
        log = self.dir / "logs" / "outside.log"
        return Part(
            "outside", "gnomon_shop.services", log, self._environment(settings), self.addresses["outside"],
            "HTTP; the bank and the mail provider",
        )  # fmt: skip

    def _broker(self) -> list[Part]:
        if self.settings.amqp_url or self.settings.redis_url:
            return []
        env, log = self._environment(replace(self.settings, service="broker")), self.dir / "logs" / "broker.log"
        return [Part("broker", "gnomon_shop.parts.broker", log, env, self.addresses["broker"], "TCP; the queue")]

    def _environment(self, settings: Settings) -> dict[str, str]:
        package = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH", "")) if part)
        return settings.environment() | {"PYTHONPATH": path}


def otel(options: argparse.Namespace, *, grpc: bool) -> dict[str, str]:
    """The standard variables of one service."""
    # OTLP over gRPC wants a URL as well; http:// says that there is no TLS.
    grpc_url = options.otlp_grpc if "://" in options.otlp_grpc else f"http://{options.otlp_grpc}"
    env = {
        "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop,deployment.environment.name=demo",
        "OTEL_EXPORTER_OTLP_ENDPOINT": grpc_url if grpc else options.otlp_http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if grpc else "http/protobuf",
        # A backend that restarts within this time costs nothing; meanwhile the queues hold what is made.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8192",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "8192",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_BLRP_SCHEDULE_DELAY": "1000",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_METRIC_EXPORT_TIMEOUT": "10000",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    }
    if not grpc:
        env["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
    if options.token:
        env["OTEL_EXPORTER_OTLP_HEADERS"] = f"authorization={quote('Bearer ' + options.token)}"
    return env


def _free_addresses() -> dict[str, str]:
    """An address for each part; all are held until the last is known, so that they differ."""
    with ExitStack() as held:
        found = {}
        for name in PORTS:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found[name] = f"127.0.0.1:{probe.getsockname()[1]}"
        return found


async def opened(shop: Shop, stopped: asyncio.Event) -> bool:
    """Run to the end of the load or until stopped; true when every part ended well."""
    well = True
    try:
        for part in shop.parts:
            await part.start()
        for part in shop.parts:
            await part.ready()
        shop.begin()
        await shop.load.start()
        shop.load.say(
            f"started  {shop.options.rate:g} journeys/s at the day's mean, a day in {shop.options.day:g} min, "
            f"{f'{shop.options.seconds:g} s' if shop.options.seconds else 'until stopped'}"
        )
        print(f"  {'':<15}the shop: http://{shop.addresses['gateway']}   the run: {shop.dir}", flush=True)
        await _until_end(shop, stopped)
    except PartError as failure:
        print(f"  {failure}", file=sys.stderr, flush=True)
        well = False
    finally:
        # The load first, then callers before those they call; each flushes its telemetry.
        ended = [await part.stop() for part in (shop.load, shop.next_checkout, *reversed(shop.parts))]
    return well and all(ended)


async def _until_end(shop: Shop, stopped: asyncio.Event) -> None:
    """Return when the load has ended or we are told to stop; a part that ends by itself is a failure."""
    load, told = asyncio.create_task(shop.load.kept()), asyncio.create_task(stopped.wait())
    kept = [asyncio.create_task(part.kept()) for part in shop.parts] + [asyncio.create_task(shop.deploy())]
    done, pending = await asyncio.wait([load, told, *kept], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
    if done.isdisjoint({load, told}):
        raise PartError("a part ended by itself")


async def _until_stopped(options: argparse.Namespace, directory: Path) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return 0 if await opened(Shop(options, directory), stopped) else 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--otlp-grpc", default="127.0.0.1:4317", help="HOST:PORT or URL")
    parser.add_argument("--otlp-http", default="http://127.0.0.1:4318", help="URL")
    parser.add_argument("--token", default="", help="sent as a Bearer token")
    parser.add_argument("--dir", type=Path, help="directory of the run: ledger, plan, truth, logs")
    parser.add_argument("--seconds", type=float, help="length of the load; until stopped, when not given")
    parser.add_argument("--rate", type=float, default=2.0, help="journeys per second, at the day's mean")
    parser.add_argument("--day", type=float, default=10.0, metavar="MINUTES", help="how long a day takes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", default="none", help="none, seeded, or KIND[:strength[:start_s[:seconds]]],...")
    parser.add_argument(
        "--sdk", default=os.environ.get("SHOP_SDK", sdk.NAMES[0]), choices=sdk.NAMES, help="which SDK the services use"
    )


def run(options: argparse.Namespace) -> int:
    """The verb."""
    try:
        Plan.parsed(options.faults, 0, options.seconds, options.seed)
    except PlanError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    directory = (options.dir or Path(tempfile.mkdtemp(prefix="shop-"))).resolve()
    if (directory / "shop.json").exists():
        print(f"{directory} holds an earlier run; its ledger would be mixed up with this one's", file=sys.stderr)
        return 2
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    return asyncio.run(_until_stopped(options, directory))
