"""Groups of processes without a server: forks, the dead, who is found by whom."""

import multiprocessing
import os
import signal
import socket
import stat
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gnomon.metrics import (
    Counter,
    ExponentialHistogram,
    Gauge,
    Histogram,
    Registry,
    Summary,
    UpDownCounter,
    members,
    membership,
    said,
)
from gnomon.metrics.merge import Snapshot, dump, load, merge
from gnomon.metrics.workers import Workers


class Service:
    """A registry with one instrument of each kind, and its workers."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.counter = Counter("counter", registry=self.registry)
        self.open = UpDownCounter("open", registry=self.registry)
        self.histogram = Histogram("histogram", bounds=(1, 2), registry=self.registry)
        self.exponential = ExponentialHistogram("exponential", registry=self.registry)
        self.summary = Summary("summary", registry=self.registry)
        self.gauges = {
            how: Gauge(f"gauge.{how}", workers=how, registry=self.registry)
            for how in ("", "sum", "max", "min", "latest")
        }
        self.workers = Workers(self.registry.collect, "test")
        self.workers.start()

    def measure(self, value: float) -> None:
        self.counter.inc(value)
        self.open.inc(value)
        for made in (self.histogram, self.exponential, self.summary):
            made.observe(value)
        for gauge in self.gauges.values():
            gauge.set(value)

    def shown(self) -> dict[str, list]:
        return {family.name: list(family.points) for family in self.workers.collect()}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service whose files are in a directory of this test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = Service()
    yield made
    made.workers.close()


class Child:
    """A forked worker that measures what it is told, and then waits for its end."""

    def __init__(self, service: Service, value: float) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                service.measure(value)
                service.workers.collect()
                os.write(writing, b"x")
                time.sleep(60)
            except BaseException:  # noqa: BLE001 - shown, for pytest does not see it
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(0)
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        os.close(reading)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def test_a_process_alone_leaves_no_file(service: Service, tmp_path: Path) -> None:
    """Nothing is written, and no socket opened, for those who have no workers."""
    service.measure(1)
    assert service.shown()["counter"][0].value == 1
    assert [entry for entry in tmp_path.rglob("*") if not entry.is_dir()] == []


def test_parent_and_forked_children_are_one(service: Service) -> None:
    """Counts are added up, gauges as each asks; the dead keep their counts and lose their gauges."""
    service.measure(1)
    children = [Child(service, 2), Child(service, 3)]
    try:
        shown = service.shown()
        assert shown["counter"][0].value == 6
        assert shown["open"][0].value == 6
        assert (shown["histogram"][0].counts, shown["histogram"][0].sum) == ((1, 1, 1), 6)
        assert (shown["exponential"][0].count, shown["exponential"][0].sum) == (3, 6)
        assert (shown["summary"][0].count, shown["summary"][0].sum) == (3, 6)
        assert {point.labels: point.value for point in shown["gauge."]} == {
            (("worker", str(pid)),): value
            for pid, value in ((os.getpid(), 1), (children[0].pid, 2), (children[1].pid, 3))
        }
        each = {how: shown[f"gauge.{how}"][0].value for how in ("sum", "max", "min", "latest")}
        assert each == {"sum": 6, "max": 3, "min": 1, "latest": 3}
    finally:
        for child in children:
            child.end()
    for _ in range(3):
        shown = service.shown()
        assert shown["counter"][0].value == 6
        assert shown["open"][0].value == 1
        assert shown["histogram"][0].counts == (1, 1, 1)
        assert shown["exponential"][0].count == 3
        assert [point.value for point in shown["gauge."]] == [1]


def test_totals_never_fall_while_workers_come_and_go(service: Service) -> None:
    """Readers that fold the dead meet others that read: each worker is counted once at any moment."""
    before = total = 0
    watcher = Child(service, 0)
    try:
        for _ in range(12):
            child = Child(service, 5)
            total += 5
            for _ in range(3):
                now = service.shown()["counter"][0].value
                assert now >= before
                before = now
            child.end()
            assert service.shown()["counter"][0].value == total
    finally:
        watcher.end()


def test_a_label_called_worker_is_left_alone(service: Service) -> None:
    """Ours steps aside."""
    service.gauges[""].set(1, worker="night shift")
    child = Child(service, 2)
    try:
        labels = {point.labels for point in service.shown()["gauge."]}
    finally:
        child.end()
    assert (("worker", "night shift"), ("gnomon_worker", str(os.getpid()))) in labels


def test_the_directory_must_be_ours_alone(service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If others can write there, each process shows its own numbers, and it is said."""
    members.base().chmod(0o755)
    with pytest.raises(PermissionError):
        members.base()
    service.measure(1)
    assert service.shown()["counter"][0].value == 1
    assert "not a directory of our user alone" in caplog.text
    members_base = next(tmp_path.glob("gnomon-*"))
    members_base.chmod(0o700)
    assert stat.S_IMODE(members.base().stat().st_mode) == 0o700


def test_a_broken_file_or_answer_costs_only_itself(service: Service) -> None:
    """What cannot be read counts as nothing said."""
    child = Child(service, 2)
    try:
        service.shown()
        group = service.workers._path
        name = membership.name_of(child.pid)
        (group / f"{name}{members.SOCKET}").unlink()
        with socket.socket(socket.AF_UNIX) as false:
            os.chdir(group)
            false.bind(f"{name}{members.SOCKET}")
            false.listen()
            os.kill(child.pid, signal.SIGSTOP)
            assert service.shown()["counter"][0].value == 2  # nobody answers there: the file does
            (group / f"{name}{members.SNAPSHOT}").write_bytes(b"short")
            assert "counter" not in service.shown()
    finally:
        os.chdir("/")
        child.end()


def test_snapshots_survive_their_bytes(service: Service) -> None:
    """Dump and load are inverse; what is no snapshot is told."""
    service.measure(1.5)
    service.counter.inc(1, x=1, y=True, z=(1, "a"))
    families = service.registry.collect()
    assert load(dump(families), families[0].time_ns)[0].points == families[0].points
    with pytest.raises(ValueError, match="not a snapshot"):
        load(b"", 0)
    with pytest.raises(ValueError, match="too short"):
        members.decode(b"")


def test_groups_without_a_living_soul_are_swept_away(service: Service, tmp_path: Path) -> None:
    """But not the young, and not those of the living."""
    dead, young, alive = (
        members.base() / name for name in ("0-999999999-1", "1-999999999-1", f"2-{membership.name_of(os.getpid())}")
    )
    for path in (dead, young, alive):
        path.mkdir()
        (path / "x-1.snap").touch()
    for path in (dead, alive):
        os.utime(path, (1, 1))
    members.sweep()
    assert [path.exists() for path in (dead, young, alive)] == [False, True, True]


def test_processes_are_known_by_pid_and_start() -> None:
    """So that a number that is used again is another process."""
    name = membership.name_of(os.getpid())
    assert membership.lives(name)
    assert not membership.lives(f"{os.getpid()}-1")
    assert not membership.lives("x")
    assert membership.started(2**22 + 1) == ""


def spawned(connection: Any) -> None:
    """What a spawned worker finds."""
    connection.send(membership.Place().leader)


def test_a_spawned_process_finds_its_leader() -> None:
    """By multiprocessing, as uvicorn's and granian's workers do."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=spawned, args=(there,))
    process.start()
    assert here.recv() == membership.name_of(os.getpid())
    process.join()
    here.close()
    there.close()


def test_two_endpoints_of_one_service_do_not_mix(service: Service) -> None:
    """Each has a group of its own, and the one that was closed stays closed in the children."""
    other, closed = Service(), Service()
    closed.workers.close()
    child = Child(service, 2)
    try:
        other.measure(7)
        assert (service.shown()["counter"][0].value, other.shown()["counter"][0].value) == (2, 7)
        waited = time.monotonic() + 5
        while len(list(members.base().iterdir())) < 2 and time.monotonic() < waited:
            time.sleep(0.02)  # the child joins each a little after its birth
        time.sleep(0.1)
        assert len(list(members.base().iterdir())) == 2
    finally:
        child.end()
        other.workers.close()


@pytest.fixture
def worker(service: Service) -> Iterator[Service]:
    """This process as a worker: its parent leads."""
    service.workers.close()
    made = Workers(service.registry.collect, "test")
    made._place.leader = membership.name_of(os.getppid())
    service.workers = made
    yield service
    made.close()


def test_a_worker_joins_at_its_start_and_saves_at_its_end(worker: Service) -> None:
    """Without being asked; what it saved last is read by those who stay."""
    worker.measure(3)
    worker.workers.start()
    worker.workers.start()
    group = worker.workers._path
    name = membership.name_of(os.getpid())
    waited = time.monotonic() + 10
    while name not in members.names(group) and time.monotonic() < waited:
        time.sleep(0.02)
    assert worker.shown()["counter"][0].value == 3
    worker.measure(1)
    while members.decode((group / f"{name}.snap").read_bytes())[0].points[0].value < 4:  # by itself, each second
        assert time.monotonic() < waited
        time.sleep(0.05)
    worker.measure(1)
    worker.workers.close()
    worker.workers.close()
    assert members.read(group, {})[1].families[0].points[0].value == 5


def test_a_worker_that_ends_before_it_has_settled_is_counted(worker: Service) -> None:
    """As short-lived workers do: its end joins the group, saves, and leaves."""
    worker.measure(3)
    worker.workers.close()
    (group,) = members.base().iterdir()
    assert members.read(group, {})[1].families[0].points[0].value == 3


def test_what_a_fork_copies_is_begun_anew(worker: Service) -> None:
    """What the child of a fork does, done here: the parent's socket is let go, and the group joined again."""
    worker.workers.start()
    inherited = worker.workers._socket
    worker.workers._place._forked()
    worker.workers._forked()
    waited = time.monotonic() + 10
    while worker.workers._path is None and time.monotonic() < waited:
        time.sleep(0.02)
    assert inherited.fileno() == -1
    assert worker.workers._socket.fileno() != -1
    worker.workers.close()
    worker.workers._forked()
    assert worker.workers._closed.is_set()


def test_a_group_that_cannot_be_joined_is_said(worker: Service, caplog: pytest.LogCaptureFixture) -> None:
    """At the start already."""
    said._said.discard("workers")
    members.base().chmod(0o755)
    worker.workers.start()
    assert "each shows its own" in caplog.text
    for path in Path(os.environ["XDG_RUNTIME_DIR"]).iterdir():
        path.chmod(0o700)


def test_a_leader_is_found_by_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """We are, the first process is not; where nothing can be read, gunicorn's presence decides."""
    assert membership._same_program(os.getpid())
    assert not membership._same_program(1)
    gone = 2**22 + 1
    monkeypatch.delitem(sys.modules, "gunicorn.arbiter", raising=False)
    assert not membership._same_program(gone)
    monkeypatch.setitem(sys.modules, "gunicorn.arbiter", sys)
    assert membership._same_program(gone)
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert membership._found() == membership.name_of(os.getpid())


def test_histograms_with_other_bounds_are_not_added_up(caplog: pytest.LogCaptureFixture) -> None:
    """The first stays, and it is said; label sets beyond the cap fall together."""
    told = []
    for bounds in ((1,), (2,)):
        registry = Registry()
        Histogram("other.bounds", bounds=bounds, registry=registry).observe(1)
        told.append(Snapshot("w", tuple(registry.collect())))
    (merged,) = merge(told)
    assert merged.points[0].bounds == (1.0,)
    assert "other bounds in other workers" in caplog.text
    registry = Registry()
    counter = Counter("many", registry=registry)
    for number in range(5):
        counter.inc(x=str(number))
    (merged,) = merge([Snapshot("w", tuple(registry.collect()))] * 2, most=2)
    assert {point.labels: point.value for point in merged.points} == {
        (("x", "0"),): 2,
        (("x", "1"),): 2,
        (("otel.metric.overflow", True),): 6,
    }
