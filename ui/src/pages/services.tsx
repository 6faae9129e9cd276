import { go, useHere } from "../here";
import { ago, count, duration, ratio, rate } from "../model/format";
import { bounds, link } from "../model/location";
import { grid, stepFor } from "../model/series";
import type { Series, Service } from "../model/types";
import { Search } from "../parts/search";
import { ServiceName } from "../parts/service-name";
import { Spark } from "../parts/spark";
import { Nothing, Shown } from "../parts/states";
import { useWindowed } from "../parts/window";

const SPARK_MS = 10_000; // one question a row: less often than the table's one
const BAD_RATIO = 0.05; // from here on red, below amber: a picture, not an alert

type Column = "service" | "rate_per_s" | "error_ratio" | "p50_ns" | "p95_ns" | "p99_ns" | "logs" | "last_seen";

const COLUMNS: readonly [column: Column, title: string, look: string][] = [
  ["service", "Service", ""],
  ["rate_per_s", "Calls/s", "num"],
  ["error_ratio", "Errors", "num"],
  ["p50_ns", "p50", "num wide"],
  ["p95_ns", "p95", "num"],
  ["p99_ns", "p99", "num wide"],
  ["logs", "Logs", "num wide"],
  ["last_seen", "Last seen", "num wide"],
];

export function ServicesPage() {
  const here = useHere();
  const answer = useWindowed<{ services: Service[] }>("/services", {});
  const [column, direction] = sorting(here.params.get("sort"));
  const needle = (here.params.get("q") ?? "").toLowerCase();
  return (
    <>
      <div class="bar-of-filters">
        <h1>Services</h1>
        <Search name="q" placeholder="Filter by name" first />
      </div>
      <Shown answer={answer}>
        {({ services }) => {
          const shown = sorted(services.filter((each) => each.service.toLowerCase().includes(needle)), column, direction);
          if (shown.length === 0) return <Nothing what="services" filters={["q"]} />;
          return (
            <div class="sheet">
              <table class="services">
                <thead>
                  <tr>
                    {COLUMNS.map(([name, title, look]) => (
                      <th key={name} class={look} aria-sort={name === column ? (direction > 0 ? "ascending" : "descending") : undefined}>
                        <button onClick={() => here.change({ sort: next(name, column, direction) })}>{title}</button>
                      </th>
                    ))}
                    <th class="trend">Calls and errors</th>
                  </tr>
                </thead>
                <tbody>{shown.map((each) => <Row key={each.service} service={each} />)}</tbody>
              </table>
            </div>
          );
        }}
      </Shown>
    </>
  );
}

function Row({ service }: { service: Service }) {
  const here = useHere();
  const href = link("services", service.service, here.params);
  const heat = service.error_ratio >= BAD_RATIO ? "bad" : service.error_ratio > 0 ? "warn" : "quiet";
  return (
    <tr onClick={(event) => !(event.target as Element).closest("a") && go(href)}>
      <td><a href={href}><ServiceName name={service.service} /></a></td>
      <td class="num">{rate(service.rate_per_s)}</td>
      <td class={`num ${heat}`}>{ratio(service.error_ratio)}</td>
      <td class="num wide">{duration(service.p50_ns)}</td>
      <td class="num">{duration(service.p95_ns)}</td>
      <td class="num wide">{duration(service.p99_ns)}</td>
      <td class="num wide">{count(service.logs)}</td>
      <td class="num wide quiet" title={service.last_seen}>{ago(service.last_seen, Date.now())}</td>
      <td class="trend"><Trend service={service.service} /></td>
    </tr>
  );
}

function Trend({ service }: { service: string }) {
  const { window } = useHere();
  const { from_s, to_s } = bounds(window, Date.now());
  const { data } = useWindowed<Series>(`/services/${encodeURIComponent(service)}/series`, { step_s: stepFor(to_s - from_s) }, SPARK_MS);
  const even = data && grid(data, from_s, to_s);
  return <Spark values={even?.rate ?? []} over={even?.errorRate ?? []} label={`Calls and errors of ${service}`} />;
}

/** `-p95_ns`: the column, and a minus for the largest first. */
function sorting(text: string | null): [Column, 1 | -1] {
  const name = text?.replace(/^-/, "");
  const column = COLUMNS.find(([each]) => each === name)?.[0];
  return column ? [column, text!.startsWith("-") ? -1 : 1] : ["rate_per_s", -1];
}

function next(clicked: Column, column: Column, direction: 1 | -1): string {
  const first = clicked === "service" ? 1 : -1;
  return (clicked === column ? -direction : first) > 0 ? clicked : `-${clicked}`;
}

function sorted(services: readonly Service[], column: Column, direction: 1 | -1): Service[] {
  const compare = (a: Service, b: Service): number => {
    const [x, y] = [a[column] ?? -1, b[column] ?? -1];
    return x < y ? -1 : x > y ? 1 : 0;
  };
  return [...services].sort((a, b) => compare(a, b) * direction || (a.service < b.service ? -1 : 1));
}
