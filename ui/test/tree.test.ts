import { describe, expect, it } from "vitest";
import { criticalPath } from "../src/model/critical";
import { buildTree, visible } from "../src/model/tree";
import type { Span } from "../src/model/types";

const MS = 1e6;

/** A span of milliseconds; the fraction is written out so that nanoseconds are tested too. */
function span(span_id: string, parent_id: string, start_ms: number, duration_ms: number, more: Partial<Span> = {}): Span {
  const start = `2026-11-21T09:00:00.${String(500 + start_ms).padStart(3, "0")}000000Z`;
  return {
    span_id, parent_id, service: "s", name: span_id, kind: "internal", status: "unset", status_message: "", start,
    duration_ns: duration_ms * MS, attributes: {}, resource: {}, scope: "", events: [], links: [], ...more,
  };
}

const shape = (spans: Span[]): string[] => buildTree(spans).nodes.map((each) => `${" ".repeat(each.depth)}${each.span.span_id}`);

describe("the tree", () => {
  it("stands in order of start, whatever the order of arrival", () => {
    expect(shape([span("c", "a", 20, 5), span("d", "b", 12, 1), span("a", "", 0, 50), span("b", "a", 10, 5)])).toEqual(["a", " b", "  d", " c"]);
  });

  it("is empty for no spans", () => {
    expect(buildTree([])).toMatchObject({ roots: [], root: null, nodes: [], duration_ns: 0 });
  });

  it("shows a span whose parent is not there as a root of its own, marked", () => {
    const tree = buildTree([span("a", "", 5, 50), span("b", "gone", 1, 5)]);
    expect(tree.roots.map((each) => [each.span.span_id, each.orphan])).toEqual([["b", true], ["a", false]]);
    expect(tree.root?.span.span_id).toBe("a");
  });

  it("cuts a ring at its earliest span, and keeps what hangs below the ring", () => {
    const spans = [span("r", "", 0, 90), span("x", "y", 10, 20), span("y", "z", 5, 30), span("z", "x", 12, 9), span("below", "z", 13, 1)];
    expect(shape(spans)).toEqual(["r", "y", " x", "  z", "   below"]);
  });

  it("cuts the ring, not what hangs below it, whichever comes first", () => {
    expect(shape([span("below", "x", 1, 1), span("x", "y", 10, 20), span("y", "x", 5, 30)])).toEqual(["y", " x", "  below"]);
  });

  it("takes a span that is its own parent for an orphan", () => {
    expect(buildTree([span("a", "a", 0, 1)]).roots[0]).toMatchObject({ orphan: true, children: [] });
  });

  it("keeps both of two spans with one id, and gives the children to the first", () => {
    const tree = buildTree([span("a", "", 0, 9), span("a", "", 1, 5), span("b", "a", 2, 1)]);
    expect(tree.nodes.map((each) => each.span.span_id)).toEqual(["a", "b", "a"]);
    expect(new Set(tree.nodes.map((each) => each.key)).size).toBe(3);
  });

  it("begins at the earliest span and ends at the latest, though clocks disagree", () => {
    const tree = buildTree([span("a", "", 30, 50), span("b", "a", 0, 10), span("c", "a", 70, 40)]);
    expect(tree.duration_ns).toBe(110 * MS);
    expect(tree.nodes.map((each) => [each.span.span_id, each.offset_ns / MS, each.skewed])).toEqual([["a", 30, false], ["b", 0, true], ["c", 70, false]]);
  });

  it("counts as self time what no child covers, overlaps once", () => {
    const tree = buildTree([span("a", "", 0, 100), span("b", "a", 10, 30), span("c", "a", 20, 30), span("d", "a", 90, 50)]);
    expect(tree.roots[0]!.self_ns).toBe(50 * MS);
  });

  it("sums errors and spans from below", () => {
    const tree = buildTree([span("a", "", 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1, { status: "error" })]);
    expect(tree.roots[0]).toMatchObject({ errors: 1, descendants: 2 });
  });

  it("leaves out what lies below a collapsed row, and nothing else", () => {
    const tree = buildTree([span("a", "", 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1), span("d", "a", 7, 1)]);
    const rows = visible(tree.nodes, new Set([tree.nodes[1]!.key]));
    expect(rows.map((each) => each.span.span_id)).toEqual(["a", "b", "d"]);
  });

  it("takes 20,000 spans in one chain", () => {
    const spans = Array.from({ length: 20_000 }, (_each, i) => span(String(i), i ? String(i - 1) : "", 0, 1));
    expect(buildTree(spans).nodes.at(-1)!.depth).toBe(19_999);
  });

  it("takes one ring of 20,000", () => {
    const spans = Array.from({ length: 20_000 }, (_each, i) => span(String(i), String((i + 1) % 20_000), 0, 1));
    expect(buildTree(spans).nodes).toHaveLength(20_000);
  });
});

describe("the critical path", () => {
  const pieces = (spans: Span[]): Record<string, [number, number][]> => {
    const path = criticalPath(buildTree(spans).root!);
    return Object.fromEntries([...path].map(([node, all]) => [node.span.span_id, all.map((each) => [each.from_ns / MS, each.to_ns / MS])]));
  };

  it("follows the child that ended last, and the parent between", () => {
    const spans = [span("a", "", 0, 100), span("quick", "a", 10, 20), span("slow", "a", 10, 60), span("late", "a", 80, 15)];
    expect(pieces(spans)).toEqual({ a: [[95, 100], [70, 80], [0, 10]], late: [[80, 95]], slow: [[10, 70]] });
  });

  it("adds up to the root's duration, also with children that outlive or precede it", () => {
    const all = pieces([span("a", "", 20, 100), span("early", "a", 0, 50), span("b", "a", 60, 300), span("c", "b", 70, 20)]);
    const sum = Object.entries(all).filter(([id]) => id !== "early").flatMap(([, each]) => each).reduce((total, [from, to]) => total + to - from, 0);
    expect(sum + 30).toBe(100); // `early` counts from where the root starts: 20 to 50
  });
});
