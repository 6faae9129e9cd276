"""A finding and the list of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from gnomon_server.selfmon.events import printable


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    SKIPPED = "skipped"
    """It could not be made: something before it is broken, or it takes what we were not given."""


_SIGNS = {State.OK: "✓", State.WARNING: "!", State.BROKEN: "✗", State.SKIPPED: "·"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. `check` is a name of docs/doctor.md."""

    check: str
    state: State
    what: str
    cure: str = ""

    def lines(self) -> Iterator[str]:
        """For people; much of it was written by others."""
        yield printable(f"{_SIGNS[self.state]} {self.check:<22} {self.what}")
        if self.cure:
            yield printable(f"  cure: {self.cure}")


@dataclass(slots=True)
class Report:
    """What was found so far, in the order of looking."""

    findings: list[Finding] = field(default_factory=list)

    def ok(self, check: str, what: str) -> None:
        """All is well."""
        self.findings.append(Finding(check, State.OK, what))

    def warn(self, check: str, what: str, cure: str) -> None:
        """It works, and will not always."""
        self.findings.append(Finding(check, State.WARNING, what, cure))

    def broken(self, check: str, what: str, cure: str) -> None:
        """It does not work."""
        self.findings.append(Finding(check, State.BROKEN, what, cure))

    def skip(self, check: str, why: str) -> None:
        """It could not be looked at."""
        self.findings.append(Finding(check, State.SKIPPED, why))

    def is_broken(self, check: str) -> bool:
        """Whether this check found something broken."""
        return any(found.check == check and found.state is State.BROKEN for found in self.findings)

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return not any(found.state is State.BROKEN for found in self.findings)

    @contextmanager
    def guarded(self, check: str) -> Iterator[None]:
        """A check that stumbles over this machine (an unreadable /proc, say) is skipped, not fatal."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.skip(check, f"could not be looked at: {error}")

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"healthy": self.healthy, "checks": [asdict(found) for found in self.findings]}
