"""The plan of faults, its truth and its page."""

import argparse
import json
import os
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.metrics import process_metrics
from gnomon_shop.faults import command, plan, truth
from gnomon_shop.faults.kinds import CALLERS, KINDS, LOAD
from gnomon_shop.faults.plan import SECOND_NS, STRENGTHS, Fault, Plan, PlanError, parse
from gnomon_shop.load import scan, street
from gnomon_shop.parts import database, effects
from gnomon_shop.services import catalogue, checkout, gateway

NOW = 1_700_000_000 * SECOND_NS
SHOP = Path(plan.__file__).resolve().parents[1]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def fault(**fields: Any) -> Fault:
    """Latency in payment for ten seconds, unless said otherwise."""
    usual = {"kind": "latency", "target": "payment", "start_ns": NOW, "end_ns": NOW + 10 * SECOND_NS}
    return Fault(**usual | fields)


@given(
    at_s=st.floats(-5, 15),
    strength=st.floats(0.001, 1),
    onset=st.sampled_from(plan.ONSETS),
    length_s=st.floats(0.001, 10),
)
def test_level_within_and_outside(at_s: float, strength: float, onset: str, length_s: float) -> None:
    """The level is 0 outside the window, at most the strength within, and all of it from half of the window on."""
    end = NOW + int(length_s * SECOND_NS)
    at = NOW + int(at_s * SECOND_NS)
    level = fault(end_ns=end, strength=strength, onset=onset).level(at)
    assert level <= strength
    assert (level > 0) == (NOW <= at < end) or (onset == "gradual" and at == NOW)
    if (NOW + end) / 2 <= at < end:
        assert level == strength


def test_gradual_rises() -> None:
    """A gradual fault rises linearly over the first half."""
    gradual = fault(onset="gradual", strength=0.8)
    assert [gradual.level(NOW + s * SECOND_NS) for s in (0, 1, 5, 9, 10)] == pytest.approx([0, 0.16, 0.8, 0.8, 0])


def test_strongest_counts() -> None:
    """Of two of a kind at once the stronger is felt; other services and kinds feel nothing."""
    both = Plan([fault(strength=0.2), fault(strength=0.7, end_ns=NOW + 5 * SECOND_NS)])
    assert both.level("latency", "payment", NOW) == 0.7
    assert both.level("latency", "payment", NOW + 6 * SECOND_NS) == 0.2
    assert both.level("latency", "checkout", NOW) == both.level("errors", "payment", NOW) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "gremlins"}, "no fault is called 'gremlins'"),
        ({"target": "gateway"}, "cannot be planted in 'gateway', only in payment or"),
        ({"strength": 0}, "above 0 and at most 1"),
        ({"strength": 1.5}, "above 0 and at most 1"),
        ({"onset": "slow"}, "sudden or gradual"),
        ({"end_ns": NOW}, "end before it starts"),
    ],
)
def test_refused(wrong: dict[str, Any], said: str) -> None:
    """What cannot be planted is refused with the reason."""
    with pytest.raises(PlanError, match=said):
        fault(**wrong)


def _later(followed: Plan) -> None:
    """Half a second passes."""
    followed._next_look_ns = 0


def test_file_is_followed(tmp_path: Path) -> None:
    """A plan follows its file: none, planted, added to, malformed (the last good one stays), mended."""
    path = tmp_path / "plan.json"
    followed = Plan.load(path)
    assert followed.level("latency", "payment", NOW) == 0
    assert "No such file" in followed.problem

    truth.plant(tmp_path, [fault(strength=0.4)])
    assert followed.level("latency", "payment", NOW) == 0, "looked again within half a second"
    _later(followed)
    assert followed.level("latency", "payment", NOW) == 0.4
    assert followed.problem == ""

    truth.plant(tmp_path, [fault(kind="errors", target="catalogue")])
    _later(followed)
    assert followed.level("errors", "catalogue", NOW) == 1

    for malformed in (b"", b"{", b"[]", b'{"faults": [{"kind": 1}]}', b"\xff", b'{"faults": [{"id": "x"}]}'):
        path.write_bytes(malformed)
        _later(followed)
        assert followed.level("errors", "catalogue", NOW) == 1
        assert followed.problem
    path.unlink()
    _later(followed)
    assert followed.level("errors", "catalogue", NOW) == 1

    Plan().save(path)
    _later(followed)
    assert followed.level("errors", "catalogue", NOW) == 0


def test_level_is_cheap(tmp_path: Path) -> None:
    """Asking looks at the file at most every half second: the file system is asked far less often than the plan."""
    truth.plant(tmp_path, [fault()])
    followed = Plan.load(tmp_path / "plan.json")
    looks, real = [], os.stat
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plan.os, "stat", lambda path: looks.append(path) or real(path))
        started = time.monotonic()
        for _ in range(10_000):
            followed.level("latency", "payment")
        passed = time.monotonic() - started
    assert len(looks) <= 1 + passed / 0.5


def test_truth_of_what_was_planted(tmp_path: Path) -> None:
    """truth.json holds what the contract names, for every fault planted so far."""
    truth.plant(tmp_path, [fault(strength=0.3, start_ns=NOW + 5)])
    planted = truth.plant(tmp_path, [fault(kind="lock_contention", target="cart", onset="gradual")])
    first, second = json.loads((tmp_path / "truth.json").read_text("utf-8"))
    assert first == {
        "id": "fault-1",
        "kind": "latency",
        "what": "what payment depends on answers late",
        "where": "payment",
        "seen_by": ["payment", "checkout", "gateway"],
        "signals": ["spans", "metrics"],
        "start": "2023-11-14T22:13:20.000000005Z",
        "end": "2023-11-14T22:13:30.000000000Z",
        "strength": 0.3,
        "onset": "sudden",
    }
    assert (second["id"], second["where"], second["onset"]) == ("fault-2", "cart", "gradual")
    assert truth.load(tmp_path) == [first, second]
    assert Plan(plan.read(tmp_path / "plan.json")).faults == planted.faults


@given(st.integers(), st.integers(1, 40), st.floats(10, 1e6), st.booleans())
def test_seeded(seed: int, count: int, seconds: float, overlap: bool) -> None:
    """A seeded plan is the same each time, within its seconds, as many as asked for, kinds spread evenly."""
    drawn = Plan.seeded(seed, NOW, seconds, count=count, overlap=overlap)
    assert drawn.faults == Plan.seeded(seed, NOW, seconds, count=count, overlap=overlap).faults
    assert len(drawn.faults) == count
    assert all(NOW <= one.start_ns < one.end_ns <= NOW + seconds * SECOND_NS for one in drawn)
    assert {one.strength for one in drawn} <= set(STRENGTHS)
    times = [sum(one.kind == kind for one in drawn) for kind in KINDS]
    assert max(times) - min(times) <= 1
    for kind in [""] if not overlap else KINDS:
        lane = [one for one in drawn if kind in ("", one.kind)]
        assert all(early.end_ns <= late.start_ns for early, late in pairwise(lane))


def test_other_seed_other_plan() -> None:
    """Another seed draws another plan."""
    assert Plan.seeded(1, NOW, 600).faults != Plan.seeded(2, NOW, 600).faults


def test_parsed() -> None:
    """A `--faults` option names strength, start, length, onset and place, each of which may be left out."""
    assert parse("latency", NOW, 30) == fault(start_ns=NOW + 10 * SECOND_NS, end_ns=NOW + 20 * SECOND_NS)
    assert parse("latency:0.5:1:10:gradual", NOW) == fault(
        start_ns=NOW + SECOND_NS, end_ns=NOW + 11 * SECOND_NS, strength=0.5, onset="gradual"
    )
    assert parse("errors@cart::0", NOW).target == "cart"
    assert [one.kind for one in Plan.parsed("latency,slow_disk:0.1", NOW, 30)] == ["latency", "slow_disk"]
    assert Plan.parsed("none", NOW).faults == ()
    assert Plan.parsed("seeded", NOW, 300, seed=3).faults == Plan.seeded(3, NOW, 300, count=5).faults


@pytest.mark.parametrize(
    "spec", ["gremlins", "latency:much", "latency:1:2:3:sudden:more", "latency:2", "latency:1:0:0"]
)
def test_not_parsed(spec: str) -> None:
    """A specification that means nothing is refused."""
    with pytest.raises(PlanError):
        parse(spec, NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_told_in_full(kind: str) -> None:
    """Each kind says all that the page tells, and names services that exist."""
    told = KINDS[kind]
    assert all((told.breaks, told.traces, told.metrics, told.logs, told.strength, told.conclude))
    assert set(told.targets) <= {*CALLERS, LOAD}
    assert set(told.signals) <= {"spans", "logs", "metrics"}
    for where in told.targets:
        assert set(told.seen_by(where)) <= set(CALLERS)
        assert where == LOAD or told.seen_by(where)[0] == where


def test_names_are_the_shop_s_own() -> None:
    """Every metric and attribute that the catalogue names is one that the services make."""
    sources = [path for part in ("parts", "services") for path in (SHOP / part).rglob("*.py")]
    sources.append(Path(process_metrics.__file__))  # what the SDK makes of every process
    made = "\n".join(path.read_text("utf-8") for path in sources)
    texts = " ".join(f"{kind.traces} {kind.metrics} {kind.logs}" for kind in KINDS.values())
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", texts))
    assert len(named) > 8
    for name in named - {"service.version"}:  # a resource's attribute, set by the environment
        event = name.removeprefix("shop.").partition(".")[0]  # `funnel.happened("order", ...)` logs `shop.order...`
        assert f'"{name}"' in made or f'happened("{event}"' in made, name


def test_strengths_are_the_services_own() -> None:
    """What the catalogue says of full strength is what the services and the load do."""
    told = {
        "latency": f"{effects.LATENCY_S * 1000:g} ms x level",
        "errors": f"level x {effects.ERRORS_RATIO:g} ",
        "memory_growth": f"{effects.KEPT_BYTES // 2**20} MiB x level",
        "lock_contention": f"{effects.LOCK_S * 1000:g} ms x level",
        "slow_disk": f"{effects.COMMIT_S * 1000:g} ms x level",
        "queue_backlog": f"{effects.CONSUME_S:g} s x level",
        "clock_skew": f"{effects.SKEW_S:g} s x level",
        "bad_deploy": f"{effects.DEPLOY_LATENCY_S * 1000:g} ms x level",
        "revenue_drop": f"{checkout.REVENUE_DROP_RATIO * 100:g} % x level",
        "retry_storm": f"Up to {gateway.HASTY_ATTEMPTS} x level",
        "cache_stampede": f"every {catalogue.STAMPEDE_S:g} s / level",
        "pool_exhaustion": f"level x {database.HOLD_S:g} s of every {database.HOLD_S:g} s",
        "traffic_spike": f"1 + {street.SPIKE:g} x level",
        "security_scan": f"{scan.PROBES_PER_S:g} probing requests x level",
    }
    for kind, words in told.items():
        assert words in KINDS[kind].strength, kind


def test_page_is_generated() -> None:
    """docs/faults.md is what `faults --markdown` prints."""
    assert PAGE.read_text("utf-8") == command.page()


def test_example_of_the_truth() -> None:
    """The truth shown on the page is the truth of that fault."""
    shown = json.loads(re.search(r"    ({\"id\".*?})\n\n", command.PREAMBLE, re.DOTALL)[1])
    start = 1795252895_123456789
    assert shown == truth.stated(fault(start_ns=start, end_ns=start + 120 * SECOND_NS, id="fault-1"))


def command_line(*words: str) -> int:
    """`faults ...`, as the shop's command calls it."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


def test_catalogue_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """`faults` lists every kind."""
    assert command_line() == 0
    printed = capsys.readouterr().out
    assert all(f"\n{kind} " in f"\n{printed}" for kind in KINDS)


def test_planted_in_a_running_shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`faults add` plants into a running shop, and refuses where none runs or the kind is unknown."""
    assert command_line("add", str(tmp_path), "latency") == 2
    (tmp_path / "shop.json").write_text("{}")
    assert command_line("add", str(tmp_path), "gremlins") == 2
    assert command_line("add", str(tmp_path), "errors@cart", "--strength", "0.5", "--seconds", "60") == 0
    assert json.loads(capsys.readouterr().out)["where"] == "cart"
    assert Plan.load(tmp_path / "plan.json").level("errors", "cart") == 0.5
