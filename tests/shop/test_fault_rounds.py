"""The short form of `python -m tests.shop.fault_rounds`: three faults at once, in three places."""

from pathlib import Path

from tests.server import Server
from tests.shop.fault_measures import Run
from tests.shop.fault_rounds import judged, shop_run

from gnomon_shop.faults.kinds import CALLERS

KINDS = ("latency", "n_plus_one", "security_scan")
BEGIN_S, QUIET_S, FAULT_S, SETTLE_S = 4.0, 6.0, 6.0, 1.0


def test_felt_in_their_time(gnomon: Server, tmp_path: Path) -> None:
    """Each planted fault is felt while it lasts, and neither before nor after."""
    start_s = BEGIN_S + QUIET_S
    specs = [f"{kind}:1:{start_s:g}:{FAULT_S:g}" for kind in KINDS]
    run = shop_run(gnomon, tmp_path, specs, start_s + FAULT_S + SETTLE_S + QUIET_S, rate=5)
    done = [judged(run, fault, QUIET_S, SETTLE_S) for fault in run.plan]
    assert [one.fault.kind for one in done] == list(KINDS)
    for one in done:
        assert one.felt, one.line()
    assert callers(run) == {service: set(by) for service, by in CALLERS.items()}, "not what `seen_by` rests on"


def callers(run: Run) -> dict[str, set[str]]:
    """Who truly waited for whom."""
    found: dict[str, set[str]] = {service: set() for service in CALLERS}
    for line in run.operations:
        if line["kind"] == "client" and line["peer"] in found and line["service"] != "load":
            found[line["peer"]].add(line["service"])
    return found
