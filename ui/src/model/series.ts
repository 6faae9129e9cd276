/** Points of time onto the even grid of a chart. Pure. */
import type { Series } from "./types";

export interface Grid {
  /** Start of each step, seconds since the epoch. */
  time_s: number[];
  rate: number[];
  errorRate: number[];
  errorRatio: number[];
  p50: (number | null)[];
  p95: (number | null)[];
  p99: (number | null)[];
}

/** About 60 steps a window, of a length people count in. */
export function stepFor(length_s: number): number {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  return steps.find((each) => length_s / each <= 72) ?? 604800;
}

/** Only whole steps: the first and the last would show half a count as a dip. Steps without a point are zero calls. */
export function grid(series: Series, from_s: number, to_s: number): Grid {
  const step = series.step_s;
  const points = new Map(series.points.map((each) => [Math.floor(Date.parse(each.time) / 1000 / step), each]));
  const result: Grid = { time_s: [], rate: [], errorRate: [], errorRatio: [], p50: [], p95: [], p99: [] };
  for (let i = Math.ceil(from_s / step); (i + 1) * step <= to_s; i += 1) {
    const point = points.get(i);
    result.time_s.push(i * step);
    result.rate.push((point?.spans ?? 0) / step);
    result.errorRate.push((point?.errors ?? 0) / step);
    result.errorRatio.push(point?.spans ? point.errors / point.spans : 0);
    result.p50.push(point?.p50_ns ?? null);
    result.p95.push(point?.p95_ns ?? null);
    result.p99.push(point?.p99_ns ?? null);
  }
  return result;
}

/** At most `most` round marks from 0 to a bit above `top`: 1, 2 or 5 times a power of ten. */
export function ticks(top: number, most = 4): number[] {
  if (!(top > 0)) return [0, 1];
  const raw = top / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999)!;
  const marks: number[] = [];
  for (let i = 0; i * step < top + step * 0.999; i += 1) marks.push(i * step);
  return marks;
}
