"""`gnomon demo`: the server, the demo shop that sends to it, and the picture."""

import asyncio
import contextlib
import signal
import sys
import tempfile
import webbrowser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from gnomon_server.app import App
from gnomon_server.cli.settings import load_settings, refusal, server_options
from gnomon_server.config import Settings
from gnomon_server.errors import GnomonError

_CHECK_S = 45
# Planted early enough for the end of the window to be seen too, late enough for there to be a before.
_CHECK_FAULTS = "latency:1:15:15"
_POSITIVE = click.FloatRange(min=0, min_open=True)
_NEEDS = ("fastapi", "httpx", "sqlalchemy", "opentelemetry.sdk", "gnomon")


@click.command()
@server_options
@click.option("--check", "only_check", is_flag=True, help="Run for a minute, assert what was stored, exit 0 or 1.")
@click.option("--rate", default=2.0, type=_POSITIVE, show_default=True, help="Journeys a second at the day's mean.")
@click.option(
    "--day",
    default=10.0,
    type=_POSITIVE,
    show_default=True,
    metavar="MINUTES",
    help="How long a day of the load takes.",
)
@click.option("--faults", help="`none`, `seeded`, or KIND[:strength[:start_s[:seconds]]],... [default: seeded]")
@click.option(
    "--history",
    "history_days",
    default=0.0,
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Back-fill days of telemetry first.",
)
@click.option("--seed", default=7, show_default=True, help="The same seed, the same shop.")
@click.option(
    "--dir", "shop_dir", type=click.Path(path_type=Path), help="Where the shop keeps its ledger and its truth."
)
@click.option("--browser/--no-browser", default=True, help="Open the console in a browser.")
def demo(
    config_file: Path | None, pairs: tuple[str, ...], only_check: bool, browser: bool, shop_dir: Path | None,
    rate: float, day: float, faults: str | None, history_days: float, seed: int, **flags: str | None,
) -> None:  # fmt: skip
    """Run the server with real telemetry: a shop of seven services under load, with planted faults, until Ctrl-C.

    What is wrong and since when stands in truth.json of the shop's directory, which the server never reads.
    """
    _require_shop()
    with tempfile.TemporaryDirectory(prefix="gnomon-demo-") as temporary:
        # The demo's data goes with it, unless a place for it is named.
        flags["data"] = flags.get("data") or str(Path(temporary) / "data")
        if history_days > 0:
            days = f"{int(history_days) + 2}d"
            pairs = (*(f"retention.{signal_name}={days}" for signal_name in ("metrics", "traces", "logs")), *pairs)
        settings = load_settings(config_file, pairs, **flags).settings
        faults = faults or (_CHECK_FAULTS if only_check else "seeded")
        shop = Shop(shop_dir or Path(temporary) / "shop", rate, day, faults, history_days, seed)
        try:
            code = asyncio.run(_Demo(settings, shop, only_check=only_check, browser=browser and not only_check).run())
        except GnomonError as error:
            raise refusal(error) from error
    raise SystemExit(code)


def _require_shop() -> None:
    missing = [name for name in _NEEDS if find_spec(name.partition(".")[0]) is None]
    if missing:
        hint = "pip install 'gnomon-server[demo]'"
        raise click.ClickException(f"the demo shop needs {', '.join(missing)}: {hint}")


@dataclass(frozen=True, slots=True)
class Shop:
    """What the demo shop is told."""

    folder: Path
    rate: float
    day_minutes: float
    faults: str
    history_days: float
    seed: int

    def command(self, verb: str, *words: str) -> list[str]:
        """A verb of the shop, on a leash: it ends when we are killed."""
        return [sys.executable, "-m", "gnomon_shop.parts.leash", "gnomon_shop", verb, *words]


class _Demo:
    """One run."""

    def __init__(self, settings: Settings, shop: Shop, *, only_check: bool, browser: bool) -> None:
        self._app = App(settings)
        self._shop = shop
        self._only_check = only_check
        self._browser = browser

    async def run(self) -> int:
        """Returns the exit code."""
        await self._app.start()
        try:
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            for command in self._commands():
                code = await self._run(command, stop)
                if code != 0 or stop.is_set():
                    return 130 if stop.is_set() and self._only_check else code
            return 0
        finally:
            await self._app.stop()

    def _commands(self) -> list[list[str]]:
        shop, app = self._shop, self._app
        http, seed = ("--otlp-http", _url(app, "otlp-http")), ("--seed", str(shop.seed))
        commands = []
        if shop.history_days > 0:
            days = ("--days", f"{shop.history_days:g}")
            commands.append(shop.command("history", *http, *seed, *days, "--dir", str(shop.folder / "history")))
        host, port = app.addresses["otlp-grpc"]
        words = ["--otlp-grpc", f"{host}:{port}", *http, *seed, "--dir", str(shop.folder), "--faults", shop.faults]
        words += ["--rate", f"{shop.rate:g}", "--day", f"{shop.day_minutes:g}"]
        if self._only_check:
            words += ["--seconds", str(_CHECK_S)]
        commands.append(shop.command("run", *words))
        if self._only_check:
            commands.append(shop.command("check", str(shop.folder), "--api", _url(app, "http")))
        return commands

    async def _run(self, command: list[str], stop: asyncio.Event) -> int:
        """Run one command of the shop to its end, or until we are told to stop."""
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        if "run" in command:
            self._say_where()
        ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await ended
            return 0
        return ended.result()

    def _say_where(self) -> None:
        api = _url(self._app, "http")
        click.echo(
            f"\n  Gnomon shows the shop: {api}  ({'checking' if self._only_check else 'Ctrl-C stops it'})"
            f"\n  What is truly wrong:   {self._shop.folder / 'truth.json'}\n",
            err=True,
        )
        if self._browser and sys.stdout.isatty():
            webbrowser.open(api)


def _url(app: App, name: str) -> str:
    host, port = app.addresses[name]
    return f"http://{host}:{port}"
