/** From a bag of spans to the rows of a waterfall. Pure, iterative (a trace may be 10,000 deep), and tolerant. */
import { parseNs } from "./format";
import type { Span } from "./types";

export interface Node {
  /** Unique in the tree, also where two spans carry one id. */
  key: string;
  span: Span;
  depth: number;
  children: Node[];
  /** From the trace's first moment, in ns; exact up to 104 days. */
  offset_ns: number;
  duration_ns: number;
  /** Time in which no child ran. */
  self_ns: number;
  /** Spans below this one. */
  descendants: number;
  /** Errors at or below this one. */
  errors: number;
  /** Names a parent that is not here (not arrived, sampled away, or part of a cycle). */
  orphan: boolean;
  /** Starts before its parent: two clocks disagree. */
  skewed: boolean;
}

export interface Tree {
  roots: Node[];
  /** The one the trace is named after: the earliest that is no orphan, if there is one. */
  root: Node | null;
  /** Depth first, in the order of the rows. */
  nodes: Node[];
  start_ns: bigint;
  duration_ns: number;
  services: string[];
}

/** Every span given is in the tree exactly once, whatever its parent says. */
export function buildTree(spans: readonly Span[]): Tree {
  const starts = spans.map((span) => parseNs(span.start) ?? 0n);
  const start = starts.reduce((least, each) => (each < least ? each : least), starts[0] ?? 0n);
  const all = spans.map((span, i) => node(span, Number(starts[i]! - start), i));
  const byId = new Map<string, Node>();
  for (const each of all) if (!byId.has(each.span.span_id)) byId.set(each.span.span_id, each);

  const roots: Node[] = [];
  for (const each of all) {
    const parent = each.span.parent_id ? byId.get(each.span.parent_id) : undefined;
    if (parent && parent !== each) parent.children.push(each);
    else roots.push(each);
    each.orphan = each.span.parent_id !== "" && (!parent || parent === each);
  }
  breakCycles(all, byId, roots);
  for (const each of all) each.children.sort(byStart);
  roots.sort(byStart);
  const nodes = depthFirst(roots);
  measure(nodes);
  return {
    roots,
    root: roots.find((each) => !each.orphan) ?? roots[0] ?? null,
    nodes,
    start_ns: start,
    duration_ns: all.reduce((most, each) => Math.max(most, each.offset_ns + each.duration_ns), 0),
    services: [...new Set(nodes.map((each) => each.span.service))],
  };
}

/** The rows that show: what lies below a collapsed node is left out. */
export function visible(nodes: readonly Node[], collapsed: ReadonlySet<string>): Node[] {
  const rows: Node[] = [];
  for (let i = 0; i < nodes.length; i += 1) {
    const each = nodes[i]!;
    rows.push(each);
    if (collapsed.has(each.key)) i += each.descendants;
  }
  return rows;
}

function node(span: Span, offset_ns: number, index: number): Node {
  return {
    key: `${span.span_id}/${index}`,
    span,
    depth: 0,
    children: [],
    offset_ns,
    duration_ns: Math.max(0, span.duration_ns),
    self_ns: 0,
    descendants: 0,
    errors: 0,
    orphan: false,
    skewed: false,
  };
}

function byStart(a: Node, b: Node): number {
  return a.offset_ns - b.offset_ns || b.duration_ns - a.duration_ns;
}

/** Spans no root reaches stand in a ring, or below one: the earliest of each ring becomes a root, and an orphan. */
function breakCycles(all: readonly Node[], byId: ReadonlyMap<string, Node>, roots: Node[]): void {
  const reached = new Set<Node>();
  const reach = (from: Node): void => {
    const stack = [from];
    for (let each = stack.pop(); each; each = stack.pop()) {
      if (reached.has(each)) continue;
      reached.add(each);
      for (const child of each.children) stack.push(child);
    }
  };
  roots.forEach(reach);
  for (const each of all) {
    if (reached.has(each)) continue;
    const head = ring(each, byId).sort(byStart)[0]!;
    const parent = byId.get(head.span.parent_id)!;
    parent.children.splice(parent.children.indexOf(head), 1);
    head.orphan = true;
    roots.push(head);
    reach(head);
  }
}

/** Upwards from a span that no root reaches, one comes round: the spans of that round. */
function ring(from: Node, byId: ReadonlyMap<string, Node>): Node[] {
  const path: Node[] = [];
  const place = new Map<Node, number>();
  let each = from;
  while (!place.has(each)) {
    place.set(each, path.length);
    path.push(each);
    each = byId.get(each.span.parent_id)!;
  }
  return path.slice(place.get(each));
}

function depthFirst(roots: readonly Node[]): Node[] {
  const nodes: Node[] = [];
  const stack = [...roots].reverse();
  for (let each = stack.pop(); each; each = stack.pop()) {
    nodes.push(each);
    for (let i = each.children.length - 1; i >= 0; i -= 1) {
      const child = each.children[i]!;
      child.depth = each.depth + 1;
      child.skewed = child.offset_ns < each.offset_ns;
      stack.push(child);
    }
  }
  return nodes;
}

/** Children stand after their parent in `nodes`: from the end, each sees its children done. */
function measure(nodes: readonly Node[]): void {
  for (let i = nodes.length - 1; i >= 0; i -= 1) {
    const each = nodes[i]!;
    each.errors = each.span.status === "error" ? 1 : 0;
    let busy = 0;
    let until = each.offset_ns;
    const end = each.offset_ns + each.duration_ns;
    for (const child of each.children) {
      each.errors += child.errors;
      each.descendants += child.descendants + 1;
      const from = Math.max(child.offset_ns, until);
      const to = Math.min(child.offset_ns + child.duration_ns, end);
      if (to > from) {
        busy += to - from;
        until = to;
      }
    }
    each.self_ns = each.duration_ns - busy;
  }
}
