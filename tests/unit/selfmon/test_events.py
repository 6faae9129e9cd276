"""Events: one line each, whatever senders call themselves, and no harm when nobody can read them."""

import io
from pathlib import Path

from gnomon_server.selfmon.clock import SystemClock
from gnomon_server.selfmon.events import Events, printable
from gnomon_server.selfmon.registry import Registry


def test_a_hostile_name_stays_on_its_line() -> None:
    """Line breaks and control sequences of a service name are shown, not obeyed."""
    out = io.StringIO()
    Events(Registry(), SystemClock(), out).tell(
        "source_silent", "traces of x\n12:00 error engine_died all is lost\x1b[2J"
    )
    assert out.getvalue().count("\n") == 1
    assert "traces of x\\n12:00 error engine_died all is lost\\x1b[2J" in out.getvalue()


def test_what_can_be_printed_is_left() -> None:
    """Umlauts, signs and spaces; C1 controls, bidirectional overrides and lone surrogates are escaped."""
    assert printable("Größe ✓ 日本") == "Größe ✓ 日本"
    assert printable("a\x9bb\u202ec\ud800\r") == "a\\x9bb\\u202ec\\ud800\\r"


def test_a_full_disk_under_the_log_fails_nobody() -> None:
    """The event is counted and kept; whoever told it goes on."""
    with Path("/dev/full").open("wb", buffering=0) as raw, io.TextIOWrapper(raw, write_through=True) as full:
        registry = Registry()
        events = Events(registry, SystemClock(), full)
        events.tell("source_back", "x")
        assert registry.total("gnomon_events_total", event="source_back") == 1
        assert [event.name for event in events.take()] == ["source_back"]


def test_many_warnings_of_one_name_leave_the_others() -> None:
    """A hundred sources that fall silent do not push out the engine's death."""
    events = Events(Registry(), SystemClock(), io.StringIO())
    events.tell("engine_died", "exit code 1")
    for number in range(100):
        events.tell("source_silent", str(number))
    told = events.warnings()
    assert len(told) == 51
    assert (told[0].name, told[-1].detail) == ("engine_died", "99")
