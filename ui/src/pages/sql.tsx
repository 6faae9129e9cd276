import { useEffect, useState } from "preact/hooks";
import { Refusal, address, ask, parseJson } from "../api";
import { useHere } from "../here";
import { bytes, count, duration, text } from "../model/format";
import type { Table } from "../model/types";
import { Letter } from "../parts/states";

const HISTORY = "gnomon.sql";
const REMEMBERED = 30;
const MOST_ROWS = 1000; // what a table on a page is good for; the API gives the rest
const EXAMPLE = "SELECT service, count() AS spans, countIf(status = 'error') AS errors\nFROM spans\nGROUP BY service\nORDER BY spans DESC\nLIMIT 20";

interface Outcome {
  table: Table | null;
  error: Refusal | null;
}

export function SqlPage() {
  const here = useHere();
  const asked = here.params.get("q") ?? "";
  const [query, setQuery] = useState(asked || history()[0] || EXAMPLE);
  const [outcome, setOutcome] = useState<Outcome>({ table: null, error: null });
  const [running, setRunning] = useState<AbortController | null>(null);
  const [past, setPast] = useState(history);
  useEffect(() => void (asked && setQuery(asked)), [asked]);

  const run = async (): Promise<void> => {
    running?.abort();
    const abort = new AbortController();
    setRunning(abort);
    here.change({ q: query });
    try {
      const table = parseJson<Table>(await ask(address("/sql"), { body: { query, params: {}, format: "json" }, signal: abort.signal }));
      setOutcome({ table, error: null });
      setPast(remember(query));
    } catch (error) {
      if (!abort.signal.aborted) setOutcome({ table: null, error: error instanceof Refusal ? error : new Refusal(0, "unreadable_answer", String(error)) });
    }
    setRunning((now) => (now === abort ? null : now));
  };
  const pressed = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void run();
  };
  return (
    <>
      <div class="bar-of-filters">
        <h1>SQL</h1>
        <span class="quiet">read-only, over <code>spans</code> <code>logs</code> <code>metrics</code> <code>series</code></span>
      </div>
      <div class="editor">
        <textarea data-search="" spellcheck={false} rows={8} aria-label="Query" value={query}
          onInput={(event) => setQuery(event.currentTarget.value)} onKeyDown={pressed} />
        <div class="editor-foot">
          <button class="primary" onClick={() => void run()} title="Ctrl Enter">Run</button>
          {running && <button onClick={() => { running.abort(); setRunning(null); }}>Cancel</button>}
          {past.length > 0 && (
            <select aria-label="History" value="" onChange={(event) => setQuery(event.currentTarget.value)}>
              <option value="" disabled>History</option>
              {past.map((each) => <option key={each} value={each}>{each.replace(/\s+/g, " ").slice(0, 100)}</option>)}
            </select>
          )}
          {outcome.table && <Stats table={outcome.table} />}
        </div>
      </div>
      {outcome.error && <><Letter error={outcome.error} /><Spot query={query} error={outcome.error} /></>}
      {outcome.table && <Rows table={outcome.table} />}
    </>
  );
}

function Stats({ table: { rows, stats } }: { table: Table }) {
  return (
    <span class="quiet">
      {count(rows.length)} {rows.length === 1 ? "row" : "rows"} in {duration(stats.elapsed_ns)}, read {count(stats.rows_read)} rows, {bytes(stats.bytes_read)}
    </span>
  );
}

function Rows({ table: { columns, rows } }: { table: Table }) {
  return (
    <div class="sheet">
      <table class="result">
        <thead><tr>{columns.map((each) => <th key={each.name} class={/Int|Float|Decimal/.test(each.type) ? "num" : ""}>{each.name}<small>{each.type}</small></th>)}</tr></thead>
        <tbody>
          {rows.slice(0, MOST_ROWS).map((row, i) => (
            <tr key={i}>{row.map((value, j) => <td key={j} class={typeof value === "number" || typeof value === "bigint" ? "num" : ""}>{value === null ? <em>null</em> : text(value)}</td>)}</tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p class="more">No rows.</p>}
      {rows.length > MOST_ROWS && <p class="more">The first {MOST_ROWS} of {rows.length}.</p>}
    </div>
  );
}

/** The line the letter speaks of, underlined, when it names one. */
function Spot({ query, error }: { query: string; error: Refusal }) {
  const place = /line (\d+),? col(?:umn)?\.? (\d+)/i.exec(`${error.where} ${error.what}`);
  const line = place && query.split("\n")[Number(place[1]) - 1];
  if (!place || line === undefined || line === null) return null;
  return <pre class="spot">{`${line}\n${" ".repeat(Math.max(0, Number(place[2]) - 1))}^`}</pre>;
}

function history(): string[] {
  try {
    return JSON.parse(localStorage.getItem(HISTORY) ?? "[]") as string[];
  } catch {
    return []; // someone else's bytes
  }
}

function remember(query: string): string[] {
  const next = [query, ...history().filter((each) => each !== query)].slice(0, REMEMBERED);
  localStorage.setItem(HISTORY, JSON.stringify(next));
  return next;
}
