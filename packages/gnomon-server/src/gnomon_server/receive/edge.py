"""What the ways in have in common: who may, how much, who was turned away, what is counted."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gnomon_server.access.authenticator import Authenticator, Grant
from gnomon_server.access.tokens import Scope
from gnomon_server.errors import GnomonError
from gnomon_server.model.batch import Batch
from gnomon_server.selfmon.registry import Registry
from gnomon_server.selfmon.turned_away import DoorBook
from gnomon_server.transport.body import BodyBudget
from gnomon_server.transport.limits import BodyLimits
from gnomon_server.transport.reply import HttpReply
from gnomon_server.transport.strangers import note

Take = Callable[[Request], Awaitable[Response]]


class Sink(Protocol):
    """Who makes batches durable (intake.writer.Intake)."""

    async def submit(self, batch: Batch) -> None:
        """Return when the batch is stored."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Who may send, what one body may be, what all may be together, and where it is noted who was turned away."""

    authenticator: Authenticator
    limits: BodyLimits
    budget: BodyBudget
    book: DoorBook

    def grant(self, headers: Mapping[str, str]) -> Grant:
        """Of a sender; GnomonError when it may not send."""
        grant = self.authenticator.authenticate(headers)
        grant.require(Scope.INGEST)
        return grant

    def endpoint(self, listener: str, take: Take, reply: Callable[[GnomonError, Request], HttpReply]) -> Take:
        """An HTTP endpoint: what `take` raises is noted, and answered as the protocol says."""

        async def answered(request: Request) -> Response:
            try:
                return await take(request)
            except GnomonError as error:
                note(self.book, listener, error, request.scope)
                refusal = reply(error, request)
                return Response(refusal.body, refusal.status, refusal.headers)

        return answered


def count_stored(registry: Registry, batch: Batch, signal: str, protocol: str) -> None:
    """What of a batch is stored, refused and altered."""
    registry.count("gnomon_received_records_total", batch.records, signal=signal, protocol=protocol)
    for reason, count in batch.rejections.refused.items():
        registry.count("gnomon_refused_records_total", count, signal=signal, reason=reason)
    for reason, count in batch.rejections.altered.items():
        registry.count("gnomon_altered_records_total", count, signal=signal, reason=reason)
