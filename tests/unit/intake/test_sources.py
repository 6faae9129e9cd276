"""Freshness: who is sending, late, silent, replaced; what is told once; bounds; the file."""

from pathlib import Path

import pytest

from gnomon_server.errors import GnomonError
from gnomon_server.intake.sources import DOCTOR, Sources, SourceSettings, State, save
from gnomon_server.model.batch import Batch, Rejections, Sender
from gnomon_server.selfmon.registry import Registry

S = 1_000_000_000
SETTINGS = SourceSettings(silent_s=120, most=100, forget_s=10_000)


class World:
    """Sources with a clock of seconds, and what was told."""

    def __init__(self, settings: SourceSettings = SETTINGS) -> None:
        self.settings = settings
        self.told: list[tuple[str, str]] = []
        self.registry = Registry()
        self.at_s = 0.0
        self.sources = self.fresh(0)

    def fresh(self, at_s: float) -> Sources:
        """As after a start."""
        self.at_s = at_s
        return Sources(
            self.settings, self.registry, lambda name, detail: self.told.append((name, detail)), int(at_s * S)
        )

    def pass_time(self, until_s: float) -> None:
        """Judge every ten seconds, as the server does more often."""
        while self.at_s + 10 < until_s:
            self.at_s += 10
            self.sources.judge(int(self.at_s * S))

    def send(self, at_s: float, service: str = "shop", instance: str = "a", ahead_s: float = 0) -> None:
        """One batch of two records."""
        self.pass_time(at_s)
        now_ns = int(at_s * S)
        sender = Sender("traces", service, instance, 2, now_ns + int(ahead_s * S))
        self.sources.observe(Batch("acme", {}, 2, 0, Rejections(), (sender,)), now_ns)

    def states(self, at_s: float) -> dict[str, State]:
        """By instance, and what was told by then."""
        self.pass_time(at_s)
        self.sources.judge(int(at_s * S))
        return {source.instance: state for source, state in self.sources.states(int(at_s * S), "acme")}

    def names(self) -> list[str]:
        """The events so far."""
        return [name for name, _ in self.told]


def test_a_source_that_stops_and_comes_back() -> None:
    """Sending, late, silent; each end of it is told once, with how long."""
    world = World()
    for second in range(0, 301, 10):
        world.send(second)
    assert world.states(310) == {"a": State.SENDING}
    assert world.states(300 + 61) == {"a": State.LATE}
    assert world.states(300 + 119) == {"a": State.LATE}
    assert world.states(300 + 121) == {"a": State.SILENT}
    assert world.states(300 + 140) == {"a": State.SILENT}
    assert world.told == [("source_silent", "traces of shop a (acme) for 121 s")]
    assert world.registry.total("gnomon_source_silent_seconds", service="shop", tenant="acme") == 140
    world.send(500)
    assert world.told[1:] == [("source_back", "traces of shop a (acme) after 200 s")]
    assert world.states(501) == {"a": State.SENDING}
    assert world.registry.total("gnomon_source_silent_seconds") == 0


def test_the_pauses_of_a_source_are_its_measure() -> None:
    """Who sends each ten minutes is not silent after five; who paused for an hour once may again, for a while."""
    world = World()
    for second in range(0, 6001, 600):
        world.send(second)
    assert world.states(6000 + 800) == {"a": State.SENDING}
    assert world.states(6000 + 1700) == {"a": State.LATE}
    assert world.states(6000 + 1900) == {"a": State.SILENT}
    (source, _), *_ = world.sources.states(0)
    assert source.interval_s == 600
    assert source.records == 22


def test_a_moment_alarms_nobody() -> None:
    """A job that sent for less than `silent_s` is late, never silent, and is forgotten in its time."""
    world = World()
    world.send(0)
    world.send(30)
    assert world.states(5000) == {"a": State.LATE}
    assert world.states(10_031) == {}
    assert world.told == []
    assert world.registry.total("gnomon_sources_forgotten_total", reason="age") == 1


def test_a_deployment_replaces_its_instances() -> None:
    """The old instance stops as the new one begins: no alarm; one that stops with nobody new is one."""
    world = World()
    for second in range(0, 301, 10):
        world.send(second, instance="old")
        world.send(second, instance="other")
    for second in range(300, 801, 10):
        world.send(second, instance="new")
        world.send(second, instance="other")
    assert world.states(805) == {"old": State.REPLACED, "new": State.SENDING, "other": State.SENDING}
    assert world.told == []
    for second in range(810, 1300, 10):
        world.send(second, instance="new")
    assert world.states(1300)["other"] is State.SILENT
    assert world.names() == ["source_silent"]


def test_our_own_pause_is_nobody_s_silence(tmp_path: Path) -> None:
    """After a restart everybody has the time to come back; who was silent before stays so, and is told once."""
    world = World()
    for second in range(0, 301, 10):
        world.send(second)
        world.send(second, instance="gone") if second < 150 else None
    assert world.states(302)["gone"] is State.SILENT
    save(world.sources.dump(), tmp_path / "sources.json")
    world.sources = world.fresh(4000)
    world.sources.load(tmp_path / "sources.json")
    assert world.states(4010) == {"gone": State.SILENT, "a": State.SENDING}
    assert world.states(4121)["a"] is State.SILENT
    assert [detail.split()[3] for name, detail in world.told if name == "source_silent"] == ["gone", "a"]


def test_our_own_pause_is_no_pause_of_theirs(tmp_path: Path) -> None:
    """Two hours in which we were down, or suspended, teach nothing: who then stops is silent after two minutes."""
    world = World()
    for second in range(0, 301, 10):
        world.send(second)
    save(world.sources.dump(), tmp_path / "sources.json")
    world.sources = world.fresh(7500)
    world.sources.load(tmp_path / "sources.json")
    for second in range(7505, 7800, 10):
        world.send(second)
    assert world.states(7795 + 125) == {"a": State.SILENT}
    world.send(8000)
    world.at_s = 15_000
    assert world.states(15_000) == {"a": State.SENDING}, "suspended until now: it had no chance to send"
    for second in range(15_005, 15_200, 10):
        world.send(second)
    assert world.names() == ["source_silent", "source_back"]
    assert world.states(15_195 + 625)["a"] is State.SILENT


def test_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """Set back by a day, or known from a file of such a day: nobody is heard of from the future."""
    world = World()
    for second in range(86_400, 86_701, 10):
        world.at_s = second
        world.send(second)
    save(world.sources.dump(), tmp_path / "sources.json")
    world.at_s = 0
    assert world.states(5) == {"a": State.SENDING}
    assert world.states(130) == {"a": State.LATE}, "since when it sends is not known any more"
    world.sources = world.fresh(0)
    world.sources.load(tmp_path / "sources.json")
    assert world.states(130) == {"a": State.LATE}


def test_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    """Nothing is known then, and nothing breaks; a directory that cannot be written is told."""
    world = World()
    typeless = b'[{"tenant":"t","signal":"traces","service":"s","instance":"i","first_ns":null,"last_ns":null}]'
    for content in (b"", b"[{}]", b'{"a": 1}', b"[1]", typeless, b"\xff"):
        (tmp_path / "s").write_bytes(content)
        world.sources.load(tmp_path / "s")
        assert len(world.sources) == 0
    with pytest.raises(GnomonError, match="sources_unsaved"):
        save(b"[]", tmp_path / "none" / "sources.json")


def test_the_bound() -> None:
    """Past it the one that was quiet for longest is forgotten and counted."""
    world = World()
    for number in range(150):
        world.send(number, instance=str(number % 120))
    assert len(world.sources) == 100
    assert world.registry.total("gnomon_sources_forgotten_total", reason="full") == 50
    assert world.states(150)["29"] is State.SENDING


def test_what_a_sender_calls_itself_is_bounded() -> None:
    """Ten thousand names of a megabyte would be all our memory."""
    world = World()
    for _ in range(3):
        world.send(0, service="s" * 1_000_000, instance="i" * 1_000_000)
    assert len(world.sources) == 1
    assert len(world.sources.dump()) < 1_000


def test_the_doctor_is_no_source() -> None:
    """Nobody expects its records to go on."""
    world = World()
    world.send(0, service=DOCTOR)
    assert len(world.sources) == 0


def test_the_clock_of_a_sender() -> None:
    """Its newest record's time less ours."""
    world = World()
    world.send(100, ahead_s=33)
    (source, _), *_ = world.sources.states(100 * S)
    assert source.offset_ns == 33 * S
