"""Typed events and the seven functions: each one line, valid, with its arguments under `fields`."""

from typing import Any

import gnomon.logging as gl
from gnomon.logging import LogCategory, StructuredLogger


def test_the_seven_functions(seen: Any) -> None:
    """One line each, of its category and level, with the caller's place."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    error = ConnectionError("refused")
    gl.log_request(logger, "GET", "/orders", 200, 12.5, user_agent="curl")
    gl.log_error(logger, error, order_id="o1")
    gl.log_circuit_breaker_event(logger, "payments", "open", "closed")
    gl.log_retry_event(logger, "charge", 1, 3, error=error, delay_s=0.5)
    gl.log_recovery_action(logger, "failover", "database")
    gl.log_detection_event(logger, "zscore", "latency spike", 4.2)
    gl.log_performance(logger, "checkout", 123.45, rows=3)
    lines = seen.lines()
    assert [(line["level"], line["category"], line["message"]) for line in lines] == [
        ("INFO", "access", "GET /orders 200"),
        ("ERROR", "error", "ConnectionError was raised"),
        ("WARNING", "infrastructure", "Circuit breaker payments is open"),
        ("WARNING", "infrastructure", "Attempt 1 of 3 at charge failed"),
        ("INFO", "infrastructure", "Recovery failover of database succeeded"),
        ("WARNING", "infrastructure", "zscore detected latency spike"),
        ("INFO", "performance", "checkout took 123.5 ms"),
    ]
    assert lines[2]["fields"] == {
        "event": "circuit_breaker",
        "breaker": "payments",
        "state": "open",
        "previous_state": "closed",
    }
    assert lines[5]["fields"]["score"] == 4.2
    assert {record["attributes"]["code.file.path"] for record in seen.records()} == {__file__}


def test_the_worse_outcomes_are_worse_levels(seen: Any) -> None:
    """A 5xx, the last attempt, a recovery that failed are errors; a breaker that closes is not a warning."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    gl.log_request(logger, "GET", "/", 503, 1.0)
    gl.log_retry_event(logger, "charge", 3, 3)
    gl.log_recovery_action(logger, "restart", "worker", success=False)
    gl.log_circuit_breaker_event(logger, "payments", "closed")
    gl.log_detection_event(logger, "rule", "odd")
    gl.log_error(logger, ValueError("v"), "said", category="Billing")
    lines = seen.lines()
    assert lines[-1]["fields"]["unknown_category"] == "Billing"
    assert [line["level"] for line in lines] == ["ERROR", "ERROR", "ERROR", "INFO", "WARNING", "ERROR"]


def test_typed_events(seen: Any) -> None:
    """The arguments that were given stand under `fields`, the others do not."""
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    logger.business("sold", event_type="sale", amount=9.5, currency="USD", entity_type="order", entity_id="o1", more=1)
    logger.access("GET /", method="GET", path="/", status=200, duration_ms=1.5)
    logger.performance("slow", operation="query", duration_ms=7.0)
    logger.business("elsewhere", category=LogCategory.INFRASTRUCTURE, exc_info=ValueError("v"))
    sold, access, slow, elsewhere = seen.lines()
    assert (sold["category"], sold["fields"]) == (
        "business",
        {
            "event_type": "sale",
            "amount": 9.5,
            "currency": "USD",
            "entity_type": "order",
            "entity_id": "o1",
            "more": 1,
        },
    )
    assert (access["category"], access["fields"]["status"]) == ("access", 200)
    assert (slow["category"], slow["fields"]) == ("performance", {"operation": "query", "duration_ms": 7.0})
    assert (elsewhere["category"], len(elsewhere["fields"]["exception"])) == ("infrastructure", 1)


def test_security_events_are_counted(make: Any) -> None:
    """By whoever was named to count them; one who fails costs nothing but a fault."""
    counted: list[str] = []
    seen = make(on_security=counted.append)
    logger = StructuredLogger("orders", pipeline=seen.pipeline)
    logger.security("Failed login", security_event="authentication_failure", user_id="u1", source_ip="192.0.2.1")
    seen.pipeline.on_security = lambda event: {}[event]
    logger.security("Failed login")
    first, second = seen.lines()
    assert (first["category"], first["level"]) == ("security", "WARNING")
    assert first["fields"] == {
        "security_event": "authentication_failure",
        "source_ip": "192.0.2.1",
        "user_id": "u1",
    }
    assert second["fields"] == {"security_event": "unspecified"}
    assert (counted, seen.pipeline.faults) == (["authentication_failure"], 1)


def test_without_a_counter_security_events_are_lines_all_the_same(seen: Any) -> None:
    """The hook is somebody's who may not be there."""
    StructuredLogger("orders", pipeline=seen.pipeline).security("x")
    assert (len(seen.lines()), seen.pipeline.faults) == (1, 0)


def test_audit_lines_know_no_level(seen: Any) -> None:
    """They are logged where even errors are not."""
    logger = StructuredLogger("orders", log_level="CRITICAL", pipeline=seen.pipeline)
    logger.error("unheard")
    logger.audit("User data accessed", action="read", resource="profile", user_id="admin", success=False)
    (line,) = seen.lines()
    assert line["fields"] == {"action": "read", "resource": "profile", "user_id": "admin", "success": False}
