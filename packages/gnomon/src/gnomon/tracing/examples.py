"""Base classes to begin with."""

from opentelemetry.trace import SpanKind

from gnomon.tracing.current import CurrentSpan
from gnomon.tracing.system import DistributedTracing


class TracedGRPCService:
    """A gRPC servicer with spans of its own; those of its calls are made without it.

        class UserService(TracedGRPCService, user_pb2_grpc.UserServiceServicer):
            def __init__(self) -> None:
                super().__init__("user-service")

            async def GetUser(self, request, context):
                with self.start_span("get_user") as span:
                    span.set_attribute("user.id", request.user_id)

    Args:
        service_name: of the service, and of the spans that are made here.
    """

    def __init__(self, service_name: str) -> None:
        self.service_name = service_name
        self.tracing = DistributedTracing(service_name)

    def start_span(self, name: str, *, kind: SpanKind = SpanKind.INTERNAL) -> CurrentSpan:
        """A span around a `with` (or `async with`) block; inside a call it is a child of the call's."""
        return self.tracing.start_span(name, kind=kind)
