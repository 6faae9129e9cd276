"""One world: so many series over so many hours in every system, and all that is measured there, in alternation."""

import http.client
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from answers import Comparison, compare
from bodies import Load, Slice
from queries import PANELS, Query
from sender import send
from system import Refused, System, read
from targets import SERIES

_END_MS = 300_000  # the end of queries is a multiple of it, and so of every step
_BROWSER = 6  # connections that a browser opens to a host
_REFERENCE = "prometheus"
_LABELS_ROUNDS = 5


@dataclass(frozen=True)
class Plan:
    """What a world holds and which questions are asked in it.

    Attributes:
        name: in the tables.
        targets: of a hundred series each.
        hours: of data; longer ranges are cut to it.
        step_s: from scrape to scrape.
        lead_hours: of data before, longer than any window: where series begin, 2.42 and 3.x extrapolate differently.
        queries: none: only ingest, memory, labels and start.
        refreshes: of the dashboard, with every scrape; 0: none.
        slices: parts in which the data are sent, to the systems in turn.
        rounds: over all queries.
        shards, request: connections, and samples a request.
    """

    name: str
    targets: int
    hours: float
    step_s: int
    lead_hours: float
    queries: Sequence[Query]
    refreshes: int
    slices: int
    rounds: int
    shards: int
    request: int


@dataclass
class Measured:
    """What came out, as JSON shows it."""

    ingest: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    memory: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    queries: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    dashboard: dict[str, dict[str, Any]] = field(default_factory=dict)
    start_s: dict[str, float] = field(default_factory=dict)
    disk: dict[str, dict[str, float]] = field(default_factory=dict)


class World:
    """Its systems are running while `run` does; `folder` is scratch."""

    def __init__(self, plan: Plan, systems: Sequence[type[System]], folder: Path) -> None:
        self._plan, self._folder = plan, folder
        folder.mkdir(parents=True)
        self._systems = [system(folder) for system in systems]
        step_ms = self._step_ms = plan.step_s * 1000
        steps = int((plan.hours + plan.lead_hours) * 3_600_000 / step_ms)
        end_ms = int(time.time() * 1000) // _END_MS * _END_MS
        self._start_ms, self._steps = end_ms - steps * step_ms, steps
        self._load = Load(plan.targets, self._start_ms, step_ms, plan.shards, plan.request)
        self._end_ms, self._sent = end_ms, 0
        self.measured = Measured()

    def run(self) -> Measured:
        """Everything in the order of a server's life."""
        try:
            for system in self._systems:
                system.start()
            self._ingest()
            self._memory("after ingest")
            self._ask_all()
            self._memory("after queries")
            self._ask_labels()
            if self._plan.refreshes:
                self._dashboard()
            self._restart()
            self._memory("after start")
            self._disk()
        except (OSError, Refused) as error:
            logs = "\n".join(f"{system.name}: {system.log_end()}" for system in self._systems)
            raise SystemExit(f"{error!r}\n{logs}") from error
        finally:
            for system in self._systems:
                system.stop()
        return self.measured

    def _in_turn(self, number: int) -> list[System]:
        """Each system once; another one begins every time."""
        first = number % len(self._systems)
        return self._systems[first:] + self._systems[:first]

    # -- ingest --------------------------------------------------------------------------------------------------------

    def _ingest(self) -> None:
        done = 0
        for number in range(self._plan.slices):
            until = self._steps * (number + 1) // self._plan.slices
            slice_ = self._load.write(until - done, self._folder / "bodies")
            done = until
            for system in self._in_turn(number):
                self._send(system, slice_)
            self._sent += slice_.samples
        for system in self._systems:
            system.flush()

    def _send(self, system: System, slice_: Slice) -> None:
        before = system.cpu_s()
        sent = send(system.address, slice_)
        at_once = system.cpu_s()
        system.settle()
        found = {
            "samples": slice_.samples,
            "seconds": sent.seconds,
            "busy": sent.busy,
            "cpu_s": at_once - before,
            "cpu_until_quiet_s": system.cpu_s() - before,
        }
        self.measured.ingest.setdefault(system.name, []).append(found)
        _say(f"{self._plan.name} {system.name:16} {slice_.samples / sent.seconds:12,.0f} samples/s {found}")

    # -- queries -------------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        connections = {system.name: http.client.HTTPConnection(system.address, timeout=300) for system in self._systems}
        asked = [(query, self._compared(query, connections)) for query in self._plan.queries]
        for number in range(self._plan.rounds):
            for query, row in asked:
                params = self._params(query, self._end_ms)
                for system, variant, more in self._variants(number):
                    if variant in row["errors"]:
                        continue
                    began = time.perf_counter()
                    read(connections[system.name], "/api/v1/query_range", params | more)
                    row["times_s"].setdefault(variant, []).append(time.perf_counter() - began)
        for query, row in asked:
            row["median_s"] = {variant: statistics.median(times) for variant, times in row["times_s"].items()}
            self.measured.queries.append(row)
            _say(f"{self._plan.name} {_range(query)} {query.name:28} {_shown_ms(row['median_s'])} {row['answers']}")

    def _compared(self, query: Query, connections: dict[str, http.client.HTTPConnection]) -> dict[str, Any]:
        """A row of the table: every variant's first answer against Prometheus'; of the cached ones also the second."""
        row: dict[str, Any] = {
            "world": self._plan.name,
            "name": query.name,
            "range": _range(query),
            "query": query.text,
        }
        row |= {"errors": {}, "answers": {}, "times_s": {}, "first_s": {}}
        params, bodies = self._params(query, self._end_ms), {}
        for system, variant, more in self._variants(0):
            try:
                began = time.perf_counter()
                bodies[variant] = read(connections[system.name], "/api/v1/query_range", params | more)
                row["first_s"][variant] = time.perf_counter() - began
                if not more:
                    bodies[variant] = read(connections[system.name], "/api/v1/query_range", params)
            except Refused as error:
                row["errors"][variant] = str(error)
        row["bytes"] = {variant: len(body) for variant, body in bodies.items()}
        exact = {variant: system.exact for system, variant, _ in self._variants(0)}
        for variant, body in bodies.items():
            if variant != _REFERENCE and _REFERENCE in bodies:
                compared: Comparison = compare(body, bodies[_REFERENCE], names=exact[variant])
                row["answers"][variant] = compared.verdict(exact=exact[variant])
                row["series"] = compared.expected_series
        row["answers"] |= {variant: f"REFUSED: {error}" for variant, error in row["errors"].items()}
        return row

    def _variants(self, number: int) -> Iterator[tuple[System, str, dict[str, str]]]:
        for system in self._in_turn(number):
            for variant, more in system.variants.items():
                yield system, variant, more

    def _params(self, query: Query, end_ms: int) -> dict[str, str]:
        start_ms = end_ms - int(min(query.hours, self._plan.hours) * 3_600_000)
        start, end = f"{start_ms / 1000:.0f}", f"{end_ms / 1000:.0f}"
        return {"query": query.text, "start": start, "end": end, "step": str(query.step_s)}

    def _ask_labels(self) -> None:
        within = {"start": f"{self._start_ms / 1000:.0f}", "end": f"{self._end_ms / 1000:.0f}"}
        last = f"10.{self._plan.targets - 1 >> 8}.{self._plan.targets - 1 & 255}.7:9100"
        paths: dict[str, tuple[str, dict[str, str]]] = {
            "label names": ("/api/v1/labels", {}),
            "metric names": ("/api/v1/label/__name__/values", {}),
            "values of instance": ("/api/v1/label/instance/values", {}),
            "values of path, of a metric": ("/api/v1/label/path/values", {"match[]": "http_requests_total"}),
            "series of a target": ("/api/v1/series", {"match[]": f'{{instance="{last}"}}'}),
            "series by regex": ("/api/v1/series", {"match[]": 'up{instance=~"10[.]0[.]1.*"}'}),
        }
        for name, (path, params) in paths.items():
            row: dict[str, Any] = {"world": self._plan.name, "name": name, "found": {}, "median_s": {}}
            times: dict[str, list[float]] = {}
            for number in range(_LABELS_ROUNDS):
                for system in self._in_turn(number):
                    began = time.perf_counter()
                    found = system.get(path, within | params)["data"]
                    times.setdefault(system.name, []).append(time.perf_counter() - began)
                    row["found"][system.name] = len(found)
            row["median_s"] = {system: statistics.median(taken) for system, taken in times.items()}
            self.measured.labels.append(row)
            _say(f"{self._plan.name} {name:28} {_shown_ms(row['median_s'])} {row['found']}")

    # -- dashboard -----------------------------------------------------------------------------------------------------

    def _dashboard(self) -> None:
        """The panels are opened once, then asked again with every scrape, as the data go on."""
        for system in self._systems:
            self.measured.dashboard[system.name] = {"opened_s": 0.0, "refreshes_s": [], "cpu_s": []}
        self._go_on()
        for number in range(self._plan.refreshes + 1):
            for system in self._in_turn(number):
                before = system.cpu_s()
                seconds = self._refresh(system)
                found = self.measured.dashboard[system.name]
                if number:
                    found["refreshes_s"].append(seconds)
                    found["cpu_s"].append(system.cpu_s() - before)
                else:
                    found["opened_s"] = seconds
            self._go_on()
        self._compare_panels()
        for name, found in self.measured.dashboard.items():
            found["median_s"] = statistics.median(found["refreshes_s"])
            _say(f"{self._plan.name} {name:16} opened {found['opened_s']:.3f} s, refresh {found['median_s']:.3f} s")

    def _compare_panels(self) -> None:
        """The panels as they are now, of which most was kept, against Prometheus'."""
        others = [system for system in self._systems if system.name != _REFERENCE]
        for reference in self._systems:
            for panel in PANELS if reference.name == _REFERENCE else ():
                params = self._params(panel, self._load.next_ms)
                expected = reference.read("/api/v1/query_range", params)
                for system in others:
                    compared = compare(system.read("/api/v1/query_range", params), expected, names=system.exact)
                    answers = self.measured.dashboard[system.name].setdefault("answers", {})
                    answers[panel.name] = compared.verdict(exact=system.exact)

    def _go_on(self) -> None:
        """Send what was scraped meanwhile to all; at least one step."""
        time.sleep(max(0.0, (self._load.next_ms + self._step_ms) / 1000 - time.time()))
        steps = int(time.time() * 1000 - self._load.next_ms) // self._step_ms
        slice_ = self._load.write(steps, self._folder / "bodies")
        for system in self._systems:
            send(system.address, slice_)
        self._sent += slice_.samples

    def _refresh(self, system: System) -> float:
        """All panels over as many connections as a browser has; the seconds until the last answer."""
        waiting: SimpleQueue[Query] = SimpleQueue()
        for panel in PANELS:
            waiting.put(panel)
        end_ms = self._load.next_ms

        def run(_: int) -> None:
            connection = http.client.HTTPConnection(system.address, timeout=300)
            while True:
                try:
                    panel = waiting.get_nowait()
                except Empty:
                    break
                read(connection, "/api/v1/query_range", self._params(panel, end_ms))
            connection.close()

        began = time.perf_counter()
        with ThreadPoolExecutor(_BROWSER) as pool:
            list(pool.map(run, range(_BROWSER)))
        return time.perf_counter() - began

    # -- memory, start, disk -------------------------------------------------------------------------------------------

    def _memory(self, when: str) -> None:
        for system in self._systems:
            found = system.memory_mb()
            self.measured.memory.setdefault(system.name, {})[when] = found
            _say(f"{self._plan.name} {system.name:16} {when}: {found['resident']:.0f} MB")

    def _restart(self) -> None:
        asking = {"query": "count(up)", "time": f"{self._end_ms / 1000:.0f}"}
        for system in self._systems:
            self.measured.start_s[system.name] = system.restart(asking)
            _say(f"{self._plan.name} {system.name:16} start {self.measured.start_s[system.name]:.1f} s")

    def _disk(self) -> None:
        for system in self._systems:
            system.settle()
            found = system.disk_bytes()
            sample = {f"{name}_a_sample": size / self._sent for name, size in found.items()}
            self.measured.disk[system.name] = {**found, **sample}
            _say(f"{self._plan.name} {system.name:16} {sample['at_rest_a_sample']:.2f} bytes a sample at rest {found}")

    @property
    def series(self) -> int:
        """How many."""
        return self._plan.targets * SERIES


def _range(query: Query) -> str:
    return f"{query.hours:g} h"


def _shown_ms(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {taken * 1e3:.0f} ms" for name, taken in seconds.items())


def _say(line: str) -> None:
    print(line, flush=True)
