"""Telling systemd how it goes: sd_notify(3), a datagram to the socket it names. Without systemd nothing happens."""

import asyncio
import contextlib
import os
import socket


def sd_notify(state: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `STATUS=...`, to whoever started us with `Type=notify`."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A leading @ stands for the NUL of an abstract address.
    path = "\0" + address[1:] if address.startswith("@") else address
    with (
        contextlib.suppress(OSError),  # the variable outlives its socket, in a shell or container: nobody to tell
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto(state.encode(), path)


async def keep_watchdog() -> None:
    """With `WatchdogSec=`, say twice a period that the event loop turns; systemd replaces a server that hangs."""
    period_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    if not period_us or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        sd_notify("WATCHDOG=1")
        await asyncio.sleep(period_us / 2e6)
