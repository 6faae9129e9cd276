"""`gnomon demo`: the server, three small services that send to it, and the picture."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import webbrowser
from pathlib import Path

import click

from gnomon_server.app import App
from gnomon_server.cli.settings import load_settings, refusal, server_options
from gnomon_server.config import Settings
from gnomon_server.errors import GnomonError

_CHECK_S = 12


@click.command()
@server_options
@click.option("--check", "only_check", is_flag=True, help="Send for some seconds, assert what arrived, exit 0 or 1.")
@click.option("--rate", default=10.0, show_default=True, help="Requests a second.")
@click.option("--browser/--no-browser", default=True, help="Open the console in a browser.")
@click.option("--trio", type=click.Path(path_type=Path), help="Folder of the three services. [default: examples/trio]")
def demo(
    config_file: Path | None, pairs: tuple[str, ...], only_check: bool, rate: float, browser: bool, trio: Path | None,
    **flags: str | None,
) -> None:  # fmt: skip
    """Run the server with real telemetry: three services on stock OpenTelemetry SDKs, with load, until Ctrl-C."""
    folder = trio or _find_trio()
    with tempfile.TemporaryDirectory(prefix="gnomon-demo-") as temporary:
        # The demo's data goes with it, unless a place for it is named.
        flags["data"] = flags.get("data") or str(Path(temporary) / "data")
        settings = load_settings(config_file, pairs, **flags).settings
        try:
            code = asyncio.run(
                _Demo(settings, folder, Path(temporary), rate, only_check, browser and not only_check).run()
            )
        except GnomonError as error:
            raise refusal(error) from error
    raise SystemExit(code)


def _find_trio() -> Path:
    for parent in Path(__file__).resolve().parents:
        if (parent / "examples" / "trio" / "run.py").exists():
            return parent / "examples" / "trio"
    raise click.ClickException(
        "the demo's services are in the repository: clone it and run `make demo`, or give --trio"
    )


class _Demo:
    """One run."""

    def __init__(
        self, settings: Settings, trio: Path, logs: Path, rate: float, only_check: bool, browser: bool
    ) -> None:
        self._app = App(settings)
        self._trio = trio
        self._logs = logs
        self._rate = rate
        self._only_check = only_check
        self._browser = browser

    async def run(self) -> int:
        """Returns the exit code."""
        await self._app.start()
        try:
            services = await self._start_services()
            api = _url(self._app, "http")
            click.echo(
                f"\n  Gnomon shows them: {api}  ({'checking' if self._only_check else 'Ctrl-C stops it'})\n", err=True
            )
            if self._browser and sys.stdout.isatty():
                await asyncio.to_thread(webbrowser.open, api)
            code = await self._until_interrupted(services)
            if self._only_check and code == 0:
                code = await self._check(api)
            return code
        finally:
            await self._app.stop()

    async def _start_services(self) -> asyncio.subprocess.Process:
        host, port = self._app.addresses["otlp-grpc"]
        command = ["run.py", "--otlp-grpc", f"{host}:{port}", "--otlp-http", _url(self._app, "otlp-http")]
        command += ["--rate", str(self._rate), "--logs", str(self._logs)]
        if self._only_check:
            command += ["--seconds", str(_CHECK_S)]
        return await asyncio.create_subprocess_exec(sys.executable, *command, cwd=self._trio, start_new_session=True)

    async def _until_interrupted(self, services: asyncio.subprocess.Process) -> int:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        ended, stopped = asyncio.create_task(services.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if ended.done():
            return ended.result()
        with contextlib.suppress(ProcessLookupError):
            services.send_signal(signal.SIGINT)
        await ended
        return 130 if self._only_check else 0

    async def _check(self, api: str) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "check.py", "--api", api, "--report", str(self._logs / "load.json"),
            cwd=self._trio, env=dict(os.environ),
        )  # fmt: skip
        return await process.wait()


def _url(app: App, name: str) -> str:
    host, port = app.addresses[name]
    return f"http://{host}:{port}"
