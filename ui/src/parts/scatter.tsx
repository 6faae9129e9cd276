/** Traces as dots, when by how long: the shape of latency at a glance, and each dot a link. */
import { useHere } from "../here";
import { bounds, link } from "../model/location";
import { clock, duration } from "../model/format";
import type { TraceSummary } from "../model/types";
import { useWidth } from "./size";

const HEIGHT = 120;
const LEFT = 58;
const EDGE = 8;
const BOTTOM = 20;

export function Scatter({ traces }: { traces: readonly TraceSummary[] }) {
  const here = useHere();
  const [ref, width] = useWidth<HTMLDivElement>();
  const { from_s, to_s } = bounds(here.window, Date.now());
  // Newest first and limited: the list may reach back less far than the window does.
  const oldest = Math.min(to_s - 1, ...traces.map((each) => Date.parse(each.start) / 1000));
  const start = Math.max(from_s, oldest - (to_s - oldest) * 0.02);
  const logs = traces.map((each) => Math.log10(Math.max(1, each.duration_ns)));
  const low = Math.floor(Math.min(...logs));
  const high = Math.max(low + 1, Math.ceil(Math.max(...logs)));
  const x = (trace: TraceSummary): number => LEFT + EDGE + ((Date.parse(trace.start) / 1000 - start) / (to_s - start)) * (width - LEFT - 2 * EDGE);
  const y = (log: number): number => EDGE + (1 - (log - low) / (high - low)) * (HEIGHT - EDGE - BOTTOM);
  const powers = Array.from({ length: high - low + 1 }, (_each, i) => low + i);
  return (
    <div class="scatter" ref={ref}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label="Traces by start and duration">
          {powers.map((power) => (
            <g key={power} class="mark">
              <line x1={LEFT} x2={width} y1={y(power)} y2={y(power)} />
              <text x={LEFT - 8} y={y(power) + 4} text-anchor="end">{duration(10 ** power)}</text>
            </g>
          ))}
          <text class="time" x={LEFT} y={HEIGHT - 4}>{clock(new Date(start * 1000).toISOString(), false)}</text>
          <text class="time" x={width} y={HEIGHT - 4} text-anchor="end">{clock(new Date(to_s * 1000).toISOString(), false)}</text>
          {traces.map((each, i) => (
            <a key={each.trace_id} href={link("traces", each.trace_id, here.params)} tabIndex={-1}>
              <circle class={each.errors ? "bad" : ""} cx={x(each)} cy={y(logs[i]!)} r={3 + Math.min(4, Math.log10(each.spans))}>
                <title>{`${each.root_service} ${each.root_name}\n${duration(each.duration_ns)}, ${each.spans} spans, ${each.errors} errors`}</title>
              </circle>
            </a>
          ))}
        </svg>
      )}
    </div>
  );
}
