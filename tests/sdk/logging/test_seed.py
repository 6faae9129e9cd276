"""The blocks of the seed that log, as printed; only what it leaves out is supplied."""

import json
import os
import subprocess
import sys
from typing import Any

CONFIGURATION = """
# Structured logging setup
from marty_microservices_framework.observability.logging import StructuredLogger

logger = StructuredLogger(
    name="my-service",
    service_name="my-service",
    environment="production",
    log_level=LogLevel.INFO
)

# Context-aware logging
with logger.context(user_id="user123", correlation_id="abc-123"):
    logger.info("User authenticated", category=LogCategory.SECURITY)
    logger.business("Purchase completed",
                   event_type="transaction",
                   amount=99.99,
                   currency="USD")
"""
SECURITY = """
# Security event logging
logger.security(
    "Failed login attempt",
    security_event="authentication_failure",
    user_id="user123",
    source_ip="192.168.1.100"
)

# Audit logging
logger.audit(
    "User data accessed",
    action="data_read",
    resource="user_profile",
    user_id="admin123",
    success=True
)
"""
FASTAPI = """
from fastapi import FastAPI
from marty_microservices_framework.observability.logging import setup_fastapi_logging

app = FastAPI()

# Setup observability
logger = setup_fastapi_logging(app, "my-service")

@app.get("/users/{user_id}")
async def get_user(user_id: str):
    with logger.context(user_id=user_id):
        logger.info("Fetching user data")

        # Business logic with automatic tracing
        user = await fetch_user(user_id)

        logger.business("User data accessed",
                       event_type="data_access",
                       entity_type="user",
                       entity_id=user_id)

        return user
"""


REQUEST = """
import asyncio
import httpx

async def fetch_user(user_id):
    return {"id": user_id}

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/users/u1")).json() == {"id": "u1"}

asyncio.run(main())
"""


def _run(block: str, **missing: Any) -> dict[str, Any]:
    names = dict(missing)
    code = block.replace("marty_microservices_framework.observability", "gnomon")
    exec(compile(code, "<seed>", "exec"), names)  # noqa: S102 - the seed's own words
    return names


def test_structured_logging_and_security(used: Any) -> None:
    """Categories, context and fields stand where the seed's format has them."""
    from gnomon.logging import LogCategory, LogLevel  # noqa: PLC0415 - what the block lacks

    names = _run(CONFIGURATION, LogCategory=LogCategory, LogLevel=LogLevel)
    _run(SECURITY, logger=names["logger"])
    authenticated, purchase, failed, accessed = used.lines()
    context = {"environment": "production", "user_id": "user123", "correlation_id": "abc-123"}
    assert (authenticated["category"], authenticated["context"]) == ("security", context)
    assert (purchase["category"], purchase["context"]) == ("business", context)
    assert purchase["fields"] == {"event_type": "transaction", "amount": 99.99, "currency": "USD"}
    assert failed["fields"] == {
        "security_event": "authentication_failure",
        "source_ip": "192.168.1.100",
        "user_id": "user123",
    }
    assert (accessed["category"], accessed["fields"]["resource"]) == ("audit", "user_profile")
    assert {line["service_name"] for line in used.lines()} == {"my-service"}


def test_fastapi() -> None:
    """In a process of its own, with nobody to export to: the block's lines and one access line, under its name."""
    code = FASTAPI.replace("marty_microservices_framework.observability", "gnomon") + REQUEST
    settings = {"GNOMON_LOGS_CONSOLE": "json", "GNOMON_EXPORT_SHUTDOWN_TIMEOUT_S": "0.5"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=os.environ | settings
    )
    assert ended.returncode == 0, ended.stderr
    # Beside them that nobody takes what is sent, in plain words: by then the bridge to `logging` is gone.
    written = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    lines = {line["message"]: line for line in written}
    fetching, accessed = lines["Fetching user data"], lines["User data accessed"]
    assert fetching["context"]["user_id"] == accessed["context"]["user_id"] == "u1"
    assert accessed["fields"] == {"event_type": "data_access", "entity_type": "user", "entity_id": "u1"}
    (access,) = [line for line in lines.values() if line["category"] == "access"]
    assert {line["service_name"] for line in (fetching, accessed, access)} == {"my-service"}
    assert fetching["context"]["trace_id"] == accessed["context"]["trace_id"] == access["context"]["trace_id"]
