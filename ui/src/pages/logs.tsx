import { useHere } from "../here";
import type { LogRecord } from "../model/types";
import { LogList } from "../parts/log-list";
import { Search } from "../parts/search";
import { Nothing, Shown } from "../parts/states";
import { useServiceNames, useWindowed } from "../parts/window";

const FIRST = 100;
const MOST = 1000; // the API's own limit
const SEVERITIES = ["trace", "debug", "info", "warn", "error", "fatal"];

export function LogsPage() {
  const here = useHere();
  const [q, service, severity] = ["q", "service", "severity"].map((each) => here.params.get(each) ?? "") as [string, string, string];
  const limit = Math.min(MOST, Number(here.params.get("limit")) || FIRST);
  const answer = useWindowed<{ logs: LogRecord[] }>("/logs", { q, service, severity, limit });
  return (
    <>
      <div class="bar-of-filters">
        <h1>Logs</h1>
        <Search name="q" placeholder="Text in the body" first />
        <Search name="service" placeholder="Service" suggestions={useServiceNames()} />
        <div class="segments severities" role="group" aria-label="Least severity">
          {SEVERITIES.map((each) => (
            <button key={each} class={`s-${each}`} aria-pressed={each === severity} title={`${each} and above`}
              onClick={() => here.change({ severity: each === severity ? null : each })}>
              {each}
            </button>
          ))}
        </div>
      </div>
      <Shown answer={answer}>
        {({ logs }) =>
          logs.length === 0 ? <Nothing what="logs" filters={["q", "service", "severity"]} /> : (
            <>
              <LogList logs={logs} mark={q} />
              {logs.length >= limit && limit < MOST && (
                <p class="more"><button onClick={() => here.change({ limit: String(Math.min(MOST, limit * 3)) })}>Older ones too</button></p>
              )}
              {logs.length >= MOST && <p class="more">The newest {MOST}. Filters or an earlier window show others.</p>}
            </>
          )}
      </Shown>
    </>
  );
}
