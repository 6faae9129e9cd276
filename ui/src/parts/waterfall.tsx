/** A trace as a waterfall. Only the rows in sight are in the document: 10,000 spans scroll like ten. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, parseNs } from "../model/format";
import { palette } from "../model/colour";
import type { Piece } from "../model/critical";
import { ticks } from "../model/series";
import { type Node, type Tree, visible } from "../model/tree";
import type { LogRecord } from "../model/types";
import { Icon } from "./icon";
import { Overview } from "./overview";
import { useWidth } from "./size";

const ROW = 26; // px; style/waterfall.css says the same
const MOST_HEIGHT = 0.68; // of the window: the logs below stay in sight
const FEW = 12; // spans; below that the rows are their own overview
const SPARE = 12; // rows above and below what shows, so that a fast scroll finds them drawn

interface Props {
  tree: Tree;
  critical: ReadonlyMap<Node, Piece[]>;
  logs: readonly LogRecord[];
  selected: Node | null;
  onSelect: (spanId: string | null) => void;
}

export function Waterfall(props: Props) {
  const { tree, selected } = props;
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const [scroll, setScroll] = useState(0);
  const [ref, width] = useWidth<HTMLDivElement>();
  const rows = useMemo(() => visible(tree.nodes, collapsed), [tree, collapsed]);
  const logged = useMemo(() => offsetsBySpan(props.logs, tree), [props.logs, tree]);
  const height = Math.min(rows.length * ROW, Math.max(240, window.innerHeight * MOST_HEIGHT));
  const first = Math.max(0, Math.floor(scroll / ROW) - SPARE);
  const shown = rows.slice(first, Math.ceil((scroll + height) / ROW) + SPARE);
  const total = Math.max(1, tree.duration_ns);
  const marks = ticks(total, width < 640 ? 2 : 5).filter((each) => each <= total);
  useScrollTo(ref.current, selected, rows);

  const toggle = (node: Node, close = !collapsed.has(node.key)): void => {
    if (node.children.length === 0) return;
    const next = new Set(collapsed);
    if (close) next.add(node.key);
    else next.delete(node.key);
    setCollapsed(next);
  };
  const pressed = (event: KeyboardEvent): void => {
    const at = selected ? rows.indexOf(selected) : -1;
    if (event.key === "ArrowDown") props.onSelect(rows[Math.min(rows.length - 1, at + 1)]!.span.span_id);
    else if (event.key === "ArrowUp") props.onSelect(rows[Math.max(0, at - 1)]!.span.span_id);
    else if (event.key === "ArrowLeft" && selected) toggle(selected, true);
    else if (event.key === "ArrowRight" && selected) toggle(selected, false);
    else return;
    event.preventDefault();
  };
  return (
    <section class="waterfall" aria-label="Spans">
      {tree.nodes.length >= FEW && <Overview tree={tree} />}
      <div class="ruler">
        <div class="left">
          <button onClick={() => setCollapsed(new Set())}>Expand</button>
          <button onClick={() => setCollapsed(new Set(tree.nodes.filter((each) => each.depth >= 1 && each.children.length).map((each) => each.key)))}>
            Collapse
          </button>
        </div>
        <div class="axis">
          {marks.map((each) => (
            <span key={each} class={each > total * 0.9 ? "last" : ""} style={{ left: `${(each / total) * 100}%` }}>{duration(each)}</span>
          ))}
        </div>
      </div>
      <div class="rows" ref={ref} tabIndex={0} role="tree" onKeyDown={pressed} onScroll={(event) => setScroll(event.currentTarget.scrollTop)}
        style={{ height: `${height}px` }}>
        <div style={{ height: `${rows.length * ROW}px` }}>
          {shown.map((node, i) => (
            <Row key={node.key} node={node} top={(first + i) * ROW} marks={marks} total={total}
              critical={props.critical.get(node) ?? []} logged={logged.get(node.span.span_id) ?? []} open={!collapsed.has(node.key)}
              selected={node === selected} onToggle={() => toggle(node)}
              onSelect={() => props.onSelect(node === selected ? null : node.span.span_id)} />
          ))}
        </div>
      </div>
      <p class="key">
        <span><i class="critical" /> critical path</span>
        <span><i class="tick" /> event</span>
        <span><i class="tick log" /> log</span>
      </p>
    </section>
  );
}

interface RowProps {
  node: Node;
  top: number;
  total: number;
  marks: readonly number[];
  critical: readonly Piece[];
  logged: readonly number[];
  open: boolean;
  selected: boolean;
  onToggle: () => void;
  onSelect: () => void;
}

function Row({ node, top, total, marks, critical, logged, open, selected, onToggle, onSelect }: RowProps) {
  const { span } = node;
  const at = (ns: number): string => `${(Math.max(0, Math.min(total, ns)) / total) * 100}%`;
  const [left, right] = [node.offset_ns / total, (node.offset_ns + node.duration_ns) / total];
  const failed = span.status === "error";
  // The label stands where there is room: right of the bar, else left of it, else inside.
  const side = right < 0.86 ? "after" : left > 0.14 ? "before" : "inside";
  const start = parseNs(span.start) ?? 0n;
  return (
    <div class={`row c${palette.of(span.service)} ${selected ? "selected" : ""} ${failed ? "bad" : ""}`} style={{ top: `${top}px` }} role="treeitem"
      aria-level={node.depth + 1} aria-selected={selected} aria-expanded={node.children.length ? open : undefined} onClick={onSelect}>
      <div class="left" style={{ paddingLeft: `${8 + Math.min(node.depth, 24) * 14}px` }}>
        {node.children.length > 0 ? (
          <button class="fold" aria-expanded={open} tabIndex={-1} onClick={(event) => { event.stopPropagation(); onToggle(); }}>
            <Icon name="caret" />
          </button>
        ) : <i class="leaf" />}
        <i class="chip" />
        <span class="names" title={`${span.service}: ${span.name}`}><b>{span.name || "(no name)"}</b> <small>{span.service}</small></span>
        {!open && <small class="folded">+{node.descendants}</small>}
        {node.orphan && <small class="note" title={`Its parent ${span.parent_id} is not here: not arrived yet, sampled away, or in a ring`}>orphan</small>}
        {node.skewed && <small class="note" title="Starts before its parent: their clocks disagree">clock</small>}
        {(failed || (!open && node.errors > 0)) && <Icon name="warning" />}
      </div>
      <div class="axis">
        {marks.map((each) => <i key={each} class="grid" style={{ left: at(each) }} />)}
        <div class="bar" style={{ left: at(node.offset_ns), width: at(node.duration_ns) }}>
          {side === "inside" && <span class="label">{duration(node.duration_ns)}</span>}
        </div>
        {critical.map((piece) => (
          <i key={piece.from_ns} class="critical" style={{ left: at(piece.from_ns), width: at(piece.to_ns - piece.from_ns) }} />
        ))}
        {span.events.map((each, i) => (
          <i key={i} class={`tick ${each.name === "exception" ? "bad" : ""}`} title={each.name}
            style={{ left: at(node.offset_ns + Number((parseNs(each.time) ?? start) - start)) }} />
        ))}
        {logged.map((each, i) => <i key={i} class="tick log" style={{ left: at(each) }} />)}
        {side !== "inside" && (
          <span class={`label ${side}`} style={side === "after" ? { left: at(node.offset_ns + node.duration_ns) } : { right: `${(1 - left) * 100}%` }}>
            {duration(node.duration_ns)}
          </span>
        )}
      </div>
    </div>
  );
}

function offsetsBySpan(logs: readonly LogRecord[], tree: Tree): Map<string, number[]> {
  const offsets = new Map<string, number[]>();
  for (const log of logs) {
    const at = parseNs(log.time);
    if (at === null || !log.span_id) continue;
    const list = offsets.get(log.span_id) ?? [];
    list.push(Number(at - tree.start_ns));
    offsets.set(log.span_id, list);
  }
  return offsets;
}

/** A span chosen by key or by link comes into sight; one already there moves nothing. */
function useScrollTo(box: HTMLElement | null, selected: Node | null, rows: readonly Node[]): void {
  const last = useRef<string | null>(null);
  useEffect(() => {
    if (!box || selected?.key === last.current) return;
    last.current = selected?.key ?? null;
    const at = selected ? rows.indexOf(selected) * ROW : -1;
    if (at < 0) return;
    if (at < box.scrollTop) box.scrollTop = at;
    else if (at + ROW > box.scrollTop + box.clientHeight) box.scrollTop = at + ROW - box.clientHeight;
  }, [box, selected, rows]);
}
