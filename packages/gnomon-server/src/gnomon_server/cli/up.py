"""`gnomon up`: run the server until it is told to stop."""

import asyncio
import contextlib
import gc
import resource
import signal
from pathlib import Path

import click

from gnomon_server.app import App
from gnomon_server.cli.notify import keep_watchdog, sd_notify
from gnomon_server.cli.settings import load_settings, refusal, server_options
from gnomon_server.config import Settings
from gnomon_server.errors import GnomonError


@click.command()
@server_options
def up(config_file: Path | None, pairs: tuple[str, ...], **flags: str | None) -> None:
    """Run the server in the foreground; Ctrl-C or SIGTERM drains and stops it.

    \b
    Send from any OpenTelemetry SDK:
      OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318  OTEL_SERVICE_NAME=my-service  ...
    Look: http://127.0.0.1:4319
    """
    settings = load_settings(config_file, pairs, **flags).settings
    _allow_connections()
    try:
        asyncio.run(serve(settings))
    except GnomonError as error:
        raise refusal(error) from error


def _allow_connections() -> None:
    """Raise the soft limit of open files to the hard one: it is often 1,024, and 2,000 connections are served."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(settings: Settings) -> None:
    """Start, serve until SIGINT or SIGTERM, stop in order. A second signal ends it at once."""
    app = App(settings)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _once_then_default, loop, number, stop)
    starting = asyncio.create_task(app.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    try:
        await starting
    except GnomonError:
        stopping.cancel()
        raise
    # What lives now lives for ever: the collector need not walk it again for each batch.
    gc.collect()
    gc.freeze()
    if "http" in app.addresses:
        host, port = app.addresses["http"]
        scheme = "https" if settings.tls else "http"
        click.echo(f"\n  Gnomon is up: {scheme}://{host}:{port}  (Ctrl-C stops it)\n", err=True)
    sd_notify("READY=1")
    watchdog = asyncio.create_task(keep_watchdog())
    await stop.wait()
    sd_notify("STOPPING=1")
    await app.stop()
    watchdog.cancel()


def _once_then_default(loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event) -> None:
    stop.set()
    loop.remove_signal_handler(number)
