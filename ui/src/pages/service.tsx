/** One service: rate, errors, duration over time, and its newest traces and logs. */
import { useState } from "preact/hooks";
import { useHere } from "../here";
import { duration, ratio, rate } from "../model/format";
import { bounds, link } from "../model/location";
import { grid, stepFor } from "../model/series";
import type { LogRecord, Series, TraceSummary } from "../model/types";
import { Chart } from "../parts/chart";
import { LogList } from "../parts/log-list";
import { ServiceName } from "../parts/service-name";
import { Nothing, Shown } from "../parts/states";
import { TraceList } from "../parts/trace-list";
import { useWindowed } from "../parts/window";

export function ServicePage({ service }: { service: string }) {
  const here = useHere();
  const traces = useWindowed<{ traces: TraceSummary[] }>("/traces", { service, limit: 8 });
  const logs = useWindowed<{ logs: LogRecord[] }>("/logs", { service, limit: 12 });
  return (
    <>
      <div class="bar-of-filters">
        <h1><a class="quiet" href={link("services", "", here.params)}>Services</a> / <ServiceName name={service} /></h1>
      </div>
      <Charts service={service} />
      <h2>Newest traces <a href={link("traces", "", here.params, { service })}>all</a> <a href={link("traces", "", here.params, { service, status: "error" })}>with errors</a></h2>
      <Shown answer={traces}>
        {(data) => (data.traces.length ? <TraceList traces={data.traces} /> : <Nothing what="traces" />)}
      </Shown>
      <h2>Newest logs <a href={link("logs", "", here.params, { service })}>all</a> <a href={link("logs", "", here.params, { service, severity: "warn" })}>warnings and errors</a></h2>
      <Shown answer={logs}>
        {(data) => (data.logs.length ? <LogList logs={data.logs} /> : <p class="quiet">No logs from it in this window.</p>)}
      </Shown>
    </>
  );
}

function Charts({ service }: { service: string }) {
  const here = useHere();
  const [hover, setHover] = useState<number | null>(null);
  const { from_s, to_s } = bounds(here.window, Date.now());
  const answer = useWindowed<Series>(`/services/${encodeURIComponent(service)}/series`, { step_s: stepFor(to_s - from_s) });
  const pick = (from: number, to: number): void => here.change({ from: String(from), to: String(to) }, true);
  return (
    <Shown answer={answer}>
      {(series) => {
        const even = grid(series, from_s, to_s);
        const shared = { time_s: even.time_s, hover, onHover: setHover, onPick: pick };
        return (
          <div class="charts">
            <Chart title="Rate" format={(each) => `${rate(each)}/s`} {...shared}
              lines={[{ name: "calls", look: "l-rate", values: even.rate, filled: true }, { name: "errors", look: "l-bad", values: even.errorRate }]} />
            <Chart title="Errors" format={ratio} {...shared}
              lines={[{ name: "of calls", look: "l-bad", values: even.errorRatio, filled: true }]} />
            <Chart title="Duration" format={duration} {...shared}
              lines={[{ name: "p99", look: "l-p99", values: even.p99 }, { name: "p95", look: "l-p95", values: even.p95 }, { name: "p50", look: "l-p50", values: even.p50 }]} />
          </div>
        );
      }}
    </Shown>
  );
}
