import { useEffect, useMemo, useState } from "preact/hooks";
import { address } from "../api";
import { useHere } from "../here";
import { type Piece, criticalPath } from "../model/critical";
import { clock, count, day, duration } from "../model/format";
import { link } from "../model/location";
import { type Node, type Tree, buildTree } from "../model/tree";
import type { LogRecord, Trace } from "../model/types";
import { Copy } from "../parts/copy";
import { LogList } from "../parts/log-list";
import { ServiceName } from "../parts/service-name";
import { SpanPanel } from "../parts/span-panel";
import { Nothing, Shown } from "../parts/states";
import { Waterfall } from "../parts/waterfall";
import { POLL_MS, useAnswer } from "../poll";

const YOUNG_NS = 60_000_000_000n; // later than a minute after its last span nothing more is expected
const AROUND_S = 300; // logs of a trace may be stamped by another clock than its spans

export function TracePage({ traceId }: { traceId: string }) {
  const here = useHere();
  const [done, setDone] = useState(false);
  const request = (): string => address(`/traces/${encodeURIComponent(traceId)}`);
  const answer = useAnswer<Trace>(`trace/${traceId}`, request, done || here.window.fixed ? null : POLL_MS);
  const tree = useMemo(() => answer.data && buildTree(answer.data.spans), [answer.data]);
  const old = tree !== null && !isYoung(tree);
  useEffect(() => setDone(old), [old]);
  return <Shown answer={answer}>{() => <TraceView traceId={traceId} tree={tree!} />}</Shown>;
}

/** More spans and logs may still come in. */
function isYoung(tree: Tree): boolean {
  return BigInt(Date.now()) * 1_000_000n < tree.start_ns + BigInt(Math.round(tree.duration_ns)) + YOUNG_NS;
}

function TraceView({ traceId, tree }: { traceId: string; tree: Tree }) {
  const here = useHere();
  const critical = useMemo(() => (tree.root ? criticalPath(tree.root) : new Map<Node, Piece[]>()), [tree]);
  const logs = useTraceLogs(traceId, tree);
  const chosen = here.params.get("span");
  const selected = tree.nodes.find((each) => each.span.span_id === chosen) ?? null;
  const select = (id: string | null): void => here.change({ span: id });
  const { root } = tree;
  if (!root) return <Nothing what="spans" />;
  const errors = tree.roots.reduce((sum, each) => sum + each.errors, 0);
  const start = new Date(Number(tree.start_ns / 1_000_000n)).toISOString();
  return (
    <div class={`trace ${selected ? "with-panel" : ""}`}>
      <div class="trace-head">
        <h1><ServiceName name={root.span.service} /> {root.span.name}</h1>
        <p class="facts">
          <span><b>{duration(tree.duration_ns)}</b></span>
          <span>{count(tree.nodes.length)} {tree.nodes.length === 1 ? "span" : "spans"}</span>
          {errors > 0 && <span class="bad">{count(errors)} {errors === 1 ? "error" : "errors"}</span>}
          <span title={root.span.start}>{day(start)} {clock(start)}</span>
          <Copy text={traceId} label={traceId} />
        </p>
        <p class="facts">
          {tree.services.map((each) => (
            <a key={each} href={link("services", each, here.params)}><ServiceName name={each} /></a>
          ))}
        </p>
      </div>
      <Waterfall tree={tree} critical={critical} logs={logs} selected={selected} onSelect={select} />
      {selected && (
        <SpanPanel key={selected.key} node={selected} critical={critical.get(selected) ?? []}
          total_ns={tree.duration_ns} logs={logs.filter((each) => each.span_id === selected.span.span_id)} onClose={() => select(null)} />
      )}
      <section class="trace-logs">
        <h2>Logs <small>{logs.length || ""}</small> {logs.length > 0 && <a href={link("sql", "", here.params, { q: logsQuery(traceId) })}>in SQL</a>}</h2>
        {logs.length ? <LogList logs={logs} bare /> : <p class="quiet">No log record carries this trace's id.</p>}
      </section>
    </div>
  );
}

function useTraceLogs(trace_id: string, tree: Tree): LogRecord[] {
  const here = useHere();
  const start = Number(tree.start_ns / 1_000_000_000n) - AROUND_S;
  const end = start + Math.ceil(tree.duration_ns / 1e9) + 2 * AROUND_S;
  const request = (): string => address("/logs", { trace_id, start, end, limit: 1000 });
  const { data } = useAnswer<{ logs: LogRecord[] }>(`logs/${trace_id}`, request, isYoung(tree) && !here.window.fixed ? POLL_MS : null);
  return useMemo(() => (data?.logs ?? []).toReversed(), [data]); // told from the beginning
}

const logsQuery = (traceId: string): string => `SELECT time, service, severity, body\nFROM logs\nWHERE trace_id = '${traceId}'\nORDER BY time`;
