"""The tables, in Markdown."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

_AGAINST = (
    ("gnomon", "prometheus"),
    ("gnomon", "victoriametrics"),
    ("gnomon, cached", "prometheus"),
    ("gnomon, cached", "victoriametrics, cached"),
)


def markdown(worlds: dict[str, dict[str, Any]]) -> str:
    """Everything that was measured, by world."""
    parts = [_costs(worlds), _questions([row for one in worlds.values() for row in one["queries"]])]
    parts += [_labels([row for one in worlds.values() for row in one["labels"]]), _dashboard(worlds)]
    return "\n\n".join(part for part in parts if part) + "\n"


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Geometric means of time over time, of the questions that both answer."""
    found = {}
    for kind, words in (("median_s", ""), ("first_s", ", asked for the first time")):
        for ours, theirs in _AGAINST if kind == "median_s" else _AGAINST[:2]:
            pairs = [(row[kind].get(ours), row[kind].get(theirs)) for row in rows]
            logs = [math.log(left / right) for left, right in pairs if left and right]
            if logs:
                found[f"{ours} / {theirs}{words}"] = math.exp(statistics.fmean(logs))
    return found


def wrong(worlds: dict[str, dict[str, Any]]) -> list[str]:
    """Answers of ours that are not Prometheus'."""
    asked = [
        (f"{row['world']} {row['range']} {row['name']}, {variant}", said)
        for one in worlds.values()
        for row in one["queries"]
        for variant, said in row["answers"].items()
        if variant.startswith("gnomon")
    ]
    asked += [
        (f"{world} panel {name}", said)
        for world, one in worlds.items()
        for name, said in one["dashboard"].get("gnomon", {}).get("answers", {}).items()
    ]
    return [f"{name}: {said}" for name, said in asked if said != "equal"]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _costs(worlds: dict[str, dict[str, Any]]) -> str:
    head = [
        "world", "system", "samples/s, new series", "samples/s", "samples/CPU-s", "the same until quiet",
        "bytes a sample at rest", "before forced merges", "resident (anonymous) MB after ingest", "after queries",
        "start s",
    ]  # fmt: skip
    return _table(head, (_cost(world, name, one) for world, one in worlds.items() for name in one["ingest"]))


def _cost(world: str, name: str, one: dict[str, Any]) -> list[str]:
    slices, disk, memory = one["ingest"][name], one["disk"][name], one["memory"][name]
    later = slices[1:] or slices
    samples = sum(part["samples"] for part in slices)
    rate = statistics.median(part["samples"] / part["seconds"] for part in later)
    shown = [f"{memory[when]['resident']:.0f} ({memory[when]['anonymous']:.0f})" for when in list(memory)[:2]]
    return [
        world,
        name,
        f"{slices[0]['samples'] / slices[0]['seconds']:,.0f}",
        f"{rate:,.0f}",
        f"{samples / sum(part['cpu_s'] for part in slices):,.0f}",
        f"{samples / sum(part['cpu_until_quiet_s'] for part in slices):,.0f}",
        f"{disk['at_rest_a_sample']:.2f}",
        f"{disk['standing_a_sample']:.2f}",
        *shown,
        f"{one['start_s'][name]:.1f}",
    ]


def _questions(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    variants = list(dict.fromkeys(variant for row in rows for variant in row["median_s"]))
    head = ["world", "range", "query, ms", *variants, "ours / Prometheus", "ours / VictoriaMetrics", "answers"]
    lines = [
        [row["world"], row["range"], row["name"]]
        + [_ms(row["median_s"].get(variant)) for variant in variants]
        + [_ratio(row, "gnomon", "prometheus"), _ratio(row, "gnomon", "victoriametrics"), _answers(row)]
        for row in rows
    ]
    means = "\n".join(f"- geometric mean of {name}: {value:.2f}" for name, value in ratios(rows).items())
    return f"{_table(head, lines)}\n\n{means}"


def _answers(row: dict[str, Any]) -> str:
    """What ours are, and how far VictoriaMetrics' are off in the median."""
    ours = {said[:120] for variant, said in row["answers"].items() if variant.startswith("gnomon")}
    theirs = row["answers"].get("victoriametrics")
    return "; ".join(sorted(ours)) + (f"; VictoriaMetrics {theirs[:120]}" if theirs else "")


def _labels(rows: Sequence[dict[str, Any]]) -> str:
    systems = list(dict.fromkeys(system for row in rows for system in row["median_s"]))
    head = ["world", "question, ms", *systems, "found"]
    return _table(
        head,
        (
            [row["world"], row["name"], *(_ms(row["median_s"].get(system)) for system in systems), _found(row["found"])]
            for row in rows
        ),
    )


def _found(found: dict[str, int]) -> str:
    counts = set(found.values())
    return f"{counts.pop():,}" if len(counts) == 1 else str(found)


def _dashboard(worlds: dict[str, dict[str, Any]]) -> str:
    head = ("world", "12 panels, ms", "opened", "refresh", "CPU ms a refresh", "refresh / Prometheus'")
    rows = []
    for world, one in worlds.items():
        reference = one["dashboard"].get("prometheus", {}).get("median_s")
        for name, found in one["dashboard"].items():
            ratio = f"{found['median_s'] / reference:.2f}" if reference else ""
            cpu = statistics.median(found["cpu_s"])
            rows.append([world, name, _ms(found["opened_s"]), _ms(found["median_s"]), _ms(cpu), ratio])
    return _table(head, rows) if rows else ""


def _ratio(row: dict[str, Any], ours: str, theirs: str) -> str:
    left, right = row["median_s"].get(ours), row["median_s"].get(theirs)
    return f"{left / right:.2f}" if left and right else ""


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:,.1f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"
