import { useHere } from "../here";
import { clock, count, day, duration } from "../model/format";
import { link } from "../model/location";
import type { TraceSummary } from "../model/types";
import { ServiceName } from "./service-name";

export function TraceList({ traces }: { traces: readonly TraceSummary[] }) {
  const here = useHere();
  const longest = Math.max(1, ...traces.map((each) => each.duration_ns));
  return (
    <ul class="traces">
      {traces.map((each) => (
        <li key={each.trace_id}>
          <a href={link("traces", each.trace_id, here.params)} class={each.errors ? "bad" : ""}>
            <time title={`${day(each.start)} ${each.start}`}>{clock(each.start)}</time>
            <span class="name">
              <ServiceName name={each.root_service} /> <b>{each.root_name || "(root not here)"}</b>
            </span>
            <span class="others" title={each.services.join(", ")}>
              {each.services.filter((name) => name !== each.root_service).slice(0, 6).map((name) => <ServiceName key={name} name={name} />)}
            </span>
            <span class="counts">
              {each.errors > 0 && <em class="errors">{count(each.errors)} {each.errors === 1 ? "error" : "errors"}</em>}
              {count(each.spans)} {each.spans === 1 ? "span" : "spans"}
            </span>
            <span class="bar">
              <i style={{ width: `${Math.max(0.5, (each.duration_ns / longest) * 100)}%` }} />
              <span>{duration(each.duration_ns)}</span>
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
