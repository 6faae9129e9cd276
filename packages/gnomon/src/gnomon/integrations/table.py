"""What is instrumented by itself.

The table is the registration: a line is a library, the module that tells us that it is there, and what instruments it.

Ours are those on the way of every request of a Python service. For the others OpenTelemetry's own instrumentations are
good: they make spans through the API, so through our provider, and are used where they are installed.
"""

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gnomon.integrations import importing
from gnomon.integrations.telemetry import Integration, Telemetry

log = logging.getLogger("gnomon.integrations")

OURS = {
    "starlette": ("starlette.applications", "gnomon.integrations.starlette"),  # and FastAPI
    "grpc": ("grpc", "gnomon.integrations.grpc"),
    "httpx": ("httpx", "gnomon.integrations.httpx"),
    "requests": ("requests", "gnomon.integrations.requests"),
    "aiohttp": ("aiohttp", "gnomon.integrations.aiohttp"),
    "sqlalchemy": ("sqlalchemy", "gnomon.integrations.sqlalchemy"),
    "redis": ("redis", "gnomon.integrations.redis"),
}
STOCK = {
    "aio_pika": ("aio_pika", "opentelemetry.instrumentation.aio_pika:AioPikaInstrumentor"),
    "aiokafka": ("aiokafka", "opentelemetry.instrumentation.aiokafka:AIOKafkaInstrumentor"),
    "asyncpg": ("asyncpg", "opentelemetry.instrumentation.asyncpg:AsyncPGInstrumentor"),
    "boto3": ("botocore.client", "opentelemetry.instrumentation.botocore:BotocoreInstrumentor"),
    "celery": ("celery", "opentelemetry.instrumentation.celery:CeleryInstrumentor"),
    "confluent_kafka": (
        "confluent_kafka",
        "opentelemetry.instrumentation.confluent_kafka:ConfluentKafkaInstrumentor",
    ),
    "django": ("django", "opentelemetry.instrumentation.django:DjangoInstrumentor"),
    "elasticsearch": ("elasticsearch", "opentelemetry.instrumentation.elasticsearch:ElasticsearchInstrumentor"),
    "flask": ("flask", "opentelemetry.instrumentation.flask:FlaskInstrumentor"),
    "pika": ("pika", "opentelemetry.instrumentation.pika:PikaInstrumentor"),
    "psycopg": ("psycopg", "opentelemetry.instrumentation.psycopg:PsycopgInstrumentor"),
    "pymongo": ("pymongo", "opentelemetry.instrumentation.pymongo:PymongoInstrumentor"),
    "urllib3": ("urllib3", "opentelemetry.instrumentation.urllib3:URLLib3Instrumentor"),
}
# `requests` speaks through urllib3, and SQLAlchemy through a driver: two spans for one call help nobody. These are on
# only when they are asked for by name.
ASKED_FOR = frozenset({"urllib3", "psycopg", "asyncpg"})


class Integrations:
    """Installs what the table says, each when its library is imported.

    Args:
        telemetry: what each is given.
        switches: on or off by name; `*` for all that are not named.
    """

    def __init__(self, telemetry: Telemetry, switches: Mapping[str, bool]) -> None:
        self._telemetry, self._switches = telemetry, switches
        self._undo: dict[str, Callable[[], object]] = {}

    def wanted(self, name: str) -> bool:
        """Whether an integration is switched on."""
        default = name not in ASKED_FOR and self._switches.get("*", True)
        return self._switches.get(name, default)

    def install(self) -> None:
        """Install what is imported already, and wait for the rest."""
        for name, (library, module) in OURS.items():
            if self.wanted(name):
                importing.when_imported(library, lambda name=name, module=module: self._ours(name, module))  # type: ignore[misc]  # bound now
        for name, (library, instrumentor) in STOCK.items():
            if self.wanted(name) and _there(instrumentor):
                importing.when_imported(library, lambda name=name, what=instrumentor: self._stock(name, what))  # type: ignore[misc]  # likewise

    def uninstall(self) -> None:
        """Undo all of it."""
        importing.forget()
        for name, undo in reversed(self._undo.items()):
            importing.tell(undo, name)
        self._undo.clear()

    @property
    def installed(self) -> tuple[str, ...]:
        """The names of what is instrumented now."""
        return tuple(self._undo)

    def _ours(self, name: str, module: str) -> None:
        options = {**self._telemetry.options, **self._telemetry.options.get(name, {})}
        integration: Integration = importlib.import_module(module)
        self._undo[name] = integration.install(replace(self._telemetry, options=options))

    def _stock(self, name: str, instrumentor: str) -> None:
        module, _, attribute = instrumentor.partition(":")
        made: Any = getattr(importlib.import_module(module), attribute)()
        if not made.is_instrumented_by_opentelemetry:
            made.instrument()
            self._undo[name] = made.uninstrument


def _there(instrumentor: str) -> bool:
    try:
        return importlib.util.find_spec(instrumentor.partition(":")[0]) is not None
    except (ImportError, ValueError):
        return False
