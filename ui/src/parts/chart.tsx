/** A small line chart over time: axes, a cross-hair its neighbours share, a stretch of time picked by dragging. */
import { useState } from "preact/hooks";
import { clock } from "../model/format";
import { ticks } from "../model/series";
import { useWidth } from "./size";

export interface Line {
  name: string;
  /** A class of style/charts.css that gives the colour. */
  look: string;
  values: readonly (number | null)[];
  filled?: boolean;
}

interface Props {
  title: string;
  lines: readonly Line[];
  /** Starts of the even steps, in seconds. */
  time_s: readonly number[];
  format: (value: number) => string;
  /** Index under the pointer, shared by the charts of a row. */
  hover: number | null;
  onHover: (index: number | null) => void;
  onPick: (from_s: number, to_s: number) => void;
}

const HEIGHT = 168;
const LEFT = 58;
const RIGHT = 6;
const TOP = 8;
const BOTTOM = 22;

export function Chart(props: Props) {
  const { lines, time_s, hover } = props;
  const [ref, width] = useWidth<HTMLDivElement>();
  const [drag, setDrag] = useState<number | null>(null);
  const last = time_s.length - 1;
  const marks = ticks(Math.max(0, ...lines.flatMap((line) => line.values.map((each) => each ?? 0))));
  const top = marks[marks.length - 1]!;
  const inner = Math.max(1, width - LEFT - RIGHT);
  const x = (i: number): number => LEFT + (last > 0 ? (i / last) * inner : 0);
  const y = (value: number): number => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const under = (event: PointerEvent): number => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return Math.min(last, Math.max(0, Math.round(((event.clientX - box.left - LEFT) / inner) * last)));
  };
  const drop = (event: PointerEvent): void => {
    const to = under(event);
    if (drag !== null && Math.abs(to - drag) >= 2) props.onPick(time_s[Math.min(drag, to)]!, time_s[Math.max(drag, to)]!);
    setDrag(null);
  };
  return (
    <figure class="chart">
      <figcaption>
        <b>{props.title}</b>
        <Legend {...props} />
      </figcaption>
      <div ref={ref}>
        {width > 0 && last > 0 && (
          <svg
            width={width}
            height={HEIGHT}
            role="img"
            aria-label={props.title}
            onPointerMove={(event) => props.onHover(under(event))}
            onPointerLeave={() => {
              props.onHover(null);
              setDrag(null);
            }}
            onPointerDown={(event) => setDrag(under(event))}
            onPointerUp={drop}
          >
            {marks.map((each) => (
              <g key={each} class="mark">
                <line x1={LEFT} x2={width - RIGHT} y1={y(each)} y2={y(each)} />
                <text x={LEFT - 8} y={y(each) + 4} text-anchor="end">{props.format(each)}</text>
              </g>
            ))}
            {timeMarks(last, inner).map((i) => (
              <text key={i} class="time" x={x(i)} y={HEIGHT - 5} text-anchor={i === 0 ? "start" : i === last ? "end" : "middle"}>
                {clock(iso(time_s[i]!), false).slice(0, time_s[last]! - time_s[0]! > 1200 ? 5 : 8)}
              </text>
            ))}
            {lines.map((line) => <Path key={line.name} line={line} x={x} y={y} />)}
            {drag !== null && hover !== null && (
              <rect class="picked" x={x(Math.min(drag, hover))} y={TOP} width={Math.abs(x(hover) - x(drag))} height={HEIGHT - TOP - BOTTOM} />
            )}
            {hover !== null && hover <= last && <line class="hair" x1={x(hover)} x2={x(hover)} y1={TOP} y2={HEIGHT - BOTTOM} />}
          </svg>
        )}
      </div>
    </figure>
  );
}

/** Names, and the values under the cross-hair (else the newest). */
function Legend({ lines, time_s, hover, format }: Props) {
  return (
    <span class="legend">
      {hover !== null && time_s[hover] !== undefined && <time>{clock(iso(time_s[hover]!), false)}</time>}
      {lines.map((line) => {
        const value = hover === null ? line.values.findLast((each) => each !== null) : line.values[hover];
        return (
          <span key={line.name} class={line.look}>
            <i /> {line.name} <b>{value === null || value === undefined ? "–" : format(value)}</b>
          </span>
        );
      })}
    </span>
  );
}

function Path(props: { line: Line; x: (i: number) => number; y: (value: number) => number }) {
  const { line, x, y } = props;
  const runs: string[][] = [[]]; // a gap where nothing was measured is a gap
  line.values.forEach((value, i) => {
    if (value === null) runs.push([]);
    else runs[runs.length - 1]!.push(`${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  });
  const shown = runs.filter((run) => run.length > 0);
  return (
    <g class={line.look}>
      {line.filled && shown.map((run) => (
        <polygon key={run[0]} points={`${run[0]!.split(",")[0]},${y(0)} ${run.join(" ")} ${run[run.length - 1]!.split(",")[0]},${y(0)}`} />
      ))}
      {shown.map((run) =>
        run.length > 1 ? <polyline key={run[0]} points={run.join(" ")} />
          : <circle key={run[0]} cx={run[0]!.split(",")[0]} cy={run[0]!.split(",")[1]} r="1.5" />)}
    </g>
  );
}

function timeMarks(last: number, width: number): number[] {
  const wanted = Math.max(2, Math.min(6, Math.floor(width / 90)));
  return [...new Set(Array.from({ length: wanted }, (_each, i) => Math.round((i / (wanted - 1)) * last)))];
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();
