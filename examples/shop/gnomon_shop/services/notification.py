"""Notification: takes placed orders from the queue and has a mail sent for each, by the outside."""

import asyncio
import logging
import signal

from opentelemetry import metrics, trace

from gnomon_shop.parts import funnel, queue, telemetry
from gnomon_shop.parts.effects import Effects
from gnomon_shop.parts.http import Peer
from gnomon_shop.services import QUEUE
from gnomon_shop.settings import Settings

MAIL_TIMEOUT_S = 3.0

log = logging.getLogger("shop.notification")
mails = metrics.get_meter("shop.notification").create_counter("shop.mails", "{mail}", "Mails sent")


class MailError(Exception):
    """The mail provider did not take it."""


class Notification:
    """What is done with a message."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self._outside = Peer(settings, effects, "outside", timeout_s=MAIL_TIMEOUT_S)

    async def mail(self, order: queue.Body) -> None:
        """One mail for one order; MailError when it is to be tried again later."""
        trace.get_current_span().set_attribute("shop.order.id", order["order"])
        answer = await self._outside.call("POST", "/mails", json={"to": order["user"], **order}, attempts=2)
        if answer.is_error:
            raise MailError(f"the mail provider answered {answer.status_code}")
        mails.add(1)
        funnel.happened("mail", "mail sent for %s", order["order"], order=order["order"], cents=order["cents"])


async def _serve(settings: Settings, effects: Effects) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    # It has no callers; the port says that it is up.
    health = await asyncio.start_server(lambda _, writer: writer.close(), *settings.here)
    async with telemetry.running(settings):
        orders = queue.connect(settings, effects, QUEUE, "notification")
        work = [
            asyncio.create_task(orders.work(Notification(settings, effects).mail)),
            asyncio.create_task(orders.watch()),
        ]
        ended, _ = await asyncio.wait([asyncio.create_task(told.wait()), *work], return_when=asyncio.FIRST_COMPLETED)
        health.close()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await orders.close()
        for task in ended:
            task.result()  # raises what ended the work, if that was it


def main(settings: Settings, effects: Effects) -> None:
    """Work until told to stop."""
    asyncio.run(_serve(settings, effects))
