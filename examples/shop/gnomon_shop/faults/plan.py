"""The plan of faults: one small JSON file that every process of the shop follows while it runs.

    from gnomon_shop.faults.plan import Plan

    plan = Plan.load(directory / "plan.json")
    if level := plan.level("latency", "payment"):      # 0.0 nearly always; some 0.3 us
        await asyncio.sleep(0.4 * level)

The file is looked at again at most every half second, by whoever asks; there is no thread and no task. A file that is
missing or malformed changes nothing: the last good plan stays, and `plan.problem` says what was wrong.
"""

import json
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count as counted
from pathlib import Path
from time import monotonic_ns
from time import time_ns as true_ns  # before `parts.clock` may put the process's clock off: the plan's never is
from typing import Any

from gnomon_shop.faults.kinds import KINDS

LOOK_EVERY_NS = 500_000_000
SECOND_NS = 1_000_000_000
ONSETS = ("sudden", "gradual")
# Drawn by `seeded`: from what only statistics finds to what nobody misses.
STRENGTHS = (0.05, 0.1, 0.25, 0.5, 1.0)


class PlanError(ValueError):
    """A fault that cannot be planted; the message says which, what is wrong, and what would do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: it is felt from `start_ns` up to, not including, `end_ns` (Unix time)."""

    kind: str
    target: str  # the service that makes it; `load` for the two kinds that come from outside
    start_ns: int
    end_ns: int
    strength: float = 1.0  # 0 to 1; 0.05 is hard to see, 1 is obvious
    onset: str = "sudden"  # or `gradual`: rising over the first half of the window
    id: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlanError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")
        if self.target not in KINDS[self.kind].targets:
            possible = " or ".join(KINDS[self.kind].targets)
            raise PlanError(f"{self.kind} cannot be planted in {self.target!r}, only in {possible}")
        if not 0 < self.strength <= 1:
            raise PlanError(f"{self.kind}: the strength is above 0 and at most 1, not {self.strength}")
        if self.onset not in ONSETS:
            raise PlanError(f"{self.kind}: the onset is {' or '.join(ONSETS)}, not {self.onset!r}")
        if not self.start_ns < self.end_ns:
            raise PlanError(f"{self.kind}: it would end before it starts ({self.start_ns} to {self.end_ns})")

    def level(self, now_ns: int) -> float:
        """How strongly it is felt now: 0 outside the window, at most `strength`."""
        if not self.start_ns <= now_ns < self.end_ns:
            return 0.0
        if self.onset == "sudden":
            return self.strength
        return self.strength * min(1.0, 2 * (now_ns - self.start_ns) / (self.end_ns - self.start_ns))


class Plan:
    """Faults by kind and target; with a path, followed as the file changes."""

    def __init__(self, faults: Iterable[Fault] = (), path: Path | None = None) -> None:
        self.path, self.problem = path, ""
        self._seen: tuple[int, int, int] | None = None
        self._next_look_ns = 0
        self._set(faults)

    def _set(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(fault if fault.id else _named(fault, f"fault-{n}") for n, fault in enumerate(faults, 1))
        self._felt: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults:
            self._felt.setdefault((fault.kind, fault.target), []).append(fault)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """The plan in the file, followed from now on; empty as long as there is no good file."""
        plan = cls(path=Path(path))
        plan.look()
        return plan

    def level(self, kind: str, service: str, now_ns: int | None = None) -> float:
        """How strongly the service makes this fault now; of several at once the strongest counts."""
        if self.path is not None and monotonic_ns() >= self._next_look_ns:
            self.look()
        faults = self._felt.get((kind, service))
        if faults is None:
            return 0.0
        now_ns = true_ns() if now_ns is None else now_ns
        return max(fault.level(now_ns) for fault in faults)

    def look(self) -> None:
        """Read the file again if it is another one than last time; a plan without a file stays as it is."""
        if self.path is None:
            return
        self._next_look_ns = monotonic_ns() + LOOK_EVERY_NS
        try:
            status = os.stat(self.path)  # noqa: PTH116 - half the price of Path.stat, on the path of a request
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._seen = seen
                self._set(read(self.path))
                self.problem = ""
        except (OSError, ValueError, TypeError, KeyError) as wrong:
            self.problem = f"{self.path}: {wrong}"

    def save(self, path: Path) -> None:
        """Write it whole or not at all: a reader sees the old file or the new one."""
        write(path, {"faults": [asdict(fault) for fault in self.faults]})

    def added(self, faults: Iterable[Fault]) -> "Plan":
        """This plan and some more faults, numbered on."""
        taken = {fault.id for fault in self.faults}
        names = (name for n in counted(1) if (name := f"fault-{n}") not in taken)
        return Plan([*self.faults, *(_named(fault, next(names)) for fault in faults)])

    @classmethod
    def parsed(cls, text: str, start_ns: int, seconds: float | None = None, seed: int = 7) -> "Plan":
        """The plan of a `--faults` option: `none`, `seeded`, or a comma-separated list as `parse` takes it.

        `seeded` draws one fault a minute out of all kinds (at least one), not overlapping.
        """
        if text == "seeded":
            seconds = seconds or 3600
            return cls.seeded(seed, start_ns, seconds, count=max(1, round(seconds / 60)))
        return cls(parse(spec, start_ns, seconds) for spec in text.split(",") if spec and spec != "none")

    @classmethod
    def seeded(
        cls,
        seed: int,
        start_ns: int,
        seconds: float,
        kinds: Sequence[str] = tuple(KINDS),
        count: int = 6,
        overlap: bool = False,
    ) -> "Plan":
        """Draw `count` faults within the seconds; each kind comes once before any comes twice.

        Without overlap each has a slot of its own with a quiet time around it; with overlap the slots of different
        kinds lie over one another, and only a kind does not overlap itself.
        """
        rng = random.Random(f"faults {seed}")
        drawn: list[str] = []
        while len(drawn) < count:
            drawn += rng.sample(list(kinds), min(len(kinds), count - len(drawn)))
        rank, faults = dict.fromkeys(kinds, 0), []
        for position, kind in enumerate(drawn):
            slot, slots = (rank[kind], drawn.count(kind)) if overlap else (position, count)
            rank[kind] += 1
            width_ns = int(seconds * SECOND_NS / slots)
            # The quiet time before it is at least a fifth of the slot, and so is the fault itself.
            length_ns = int(width_ns * rng.uniform(0.2, 0.6))
            begin_ns = start_ns + slot * width_ns + int(rng.uniform(0.25, 1) * (width_ns - length_ns))
            strength, onset, target = rng.choice(STRENGTHS), rng.choice(ONSETS), rng.choice(KINDS[kind].targets)
            faults.append(Fault(kind, target, begin_ns, begin_ns + length_ns, strength, onset))
        return cls(sorted(faults, key=lambda fault: fault.start_ns))

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)


def parse(spec: str, start_ns: int, seconds: float | None = None) -> Fault:
    """`KIND[@TARGET][:strength[:start_s[:seconds[:onset]]]]`, e.g. `latency:0.5:30:60:gradual`.

    Times count from `start_ns`. By default the fault takes the middle third of a run of known length, else it lasts
    two minutes after one quiet minute.
    """
    name, *more = spec.strip().split(":")
    kind, _, target = name.partition("@")
    if kind not in KINDS:
        raise PlanError(f"no fault is called {kind!r}; there are {', '.join(KINDS)}")
    if len(more) > 4:
        raise PlanError(f"{spec!r}: more than KIND[@TARGET][:strength[:start_s[:seconds[:onset]]]]")
    try:
        strength, start_s, length_s = (float(text) if text else None for text in (more + [""] * 3)[:3])
    except ValueError as wrong:
        raise PlanError(f"{spec!r}: {wrong}") from None
    start_s = (seconds / 3 if seconds else 60.0) if start_s is None else start_s
    length_s = (seconds / 3 if seconds else 120.0) if length_s is None else length_s
    begin_ns = start_ns + int(start_s * SECOND_NS)
    onset = more[3] if len(more) == 4 else "sudden"
    end_ns = begin_ns + int(length_s * SECOND_NS)
    return Fault(kind, target or KINDS[kind].targets[0], begin_ns, end_ns, 1.0 if strength is None else strength, onset)


def read(path: Path) -> list[Fault]:
    """The faults of a plan file; raises OSError, ValueError, TypeError or KeyError for what is none."""
    return [Fault(**fields) for fields in json.loads(Path(path).read_text("utf-8"))["faults"]]


def write(path: Path, content: Any) -> None:
    """Replace a JSON file in one step."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    beside.replace(path)


def _named(fault: Fault, name: str) -> Fault:
    return Fault(**asdict(fault) | {"id": name})
