import { useHere } from "../here";
import type { TraceSummary } from "../model/types";
import { Scatter } from "../parts/scatter";
import { Search } from "../parts/search";
import { Nothing, Shown } from "../parts/states";
import { TraceList } from "../parts/trace-list";
import { useServiceNames, useWindowed } from "../parts/window";

const LIMIT = 100;
const SLOW: readonly [label: string, ms: number][] = [["10 ms", 10], ["100 ms", 100], ["500 ms", 500], ["1 s", 1000], ["5 s", 5000], ["30 s", 30_000]];

export function TracesPage() {
  const here = useHere();
  const service = here.params.get("service");
  const status = here.params.get("status");
  const min_ms = Number(here.params.get("min_ms")) || 0;
  const answer = useWindowed<{ traces: TraceSummary[] }>("/traces", {
    service, status, min_duration_ns: min_ms ? Math.round(min_ms * 1e6) : null, limit: LIMIT,
  });
  return (
    <>
      <div class="bar-of-filters">
        <h1>Traces</h1>
        <Search name="service" placeholder="Service" first suggestions={useServiceNames()} />
        <label class="select">
          <span>Slower than</span>
          <select value={String(min_ms || "")} onChange={(event) => here.change({ min_ms: event.currentTarget.value })}>
            <option value="">any</option>
            {SLOW.map(([label, ms]) => <option key={ms} value={ms}>{label}</option>)}
          </select>
        </label>
        <button class="toggle" aria-pressed={status === "error"} onClick={() => here.change({ status: status === "error" ? null : "error" })}>
          Errors only
        </button>
      </div>
      <Shown answer={answer}>
        {({ traces }) =>
          traces.length === 0 ? <Nothing what="traces" filters={["service", "status", "min_ms"]} /> : (
            <>
              <Scatter traces={traces} />
              <TraceList traces={traces} />
              {traces.length === LIMIT && <p class="more">The newest {LIMIT}. Filters or an earlier window show others.</p>}
            </>
          )}
      </Shown>
    </>
  );
}
