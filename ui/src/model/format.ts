/** Numbers and times as a reader wants them. Pure; durations in nanoseconds. */
import type { Value } from "./types";

const UNITS: readonly [limit: number, divisor: number, unit: string][] = [
  [1e3, 1, "ns"],
  [1e6, 1e3, "µs"],
  [1e9, 1e6, "ms"],
  [60e9, 1e9, "s"],
  [3600e9, 60e9, "min"],
  [Infinity, 3600e9, "h"],
];

/** `1234567` -> `1.23 ms`: three digits that matter. */
export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return "–";
  if (ns < 0) return `-${duration(-ns)}`;
  if (ns === 0) return "0";
  // 999.7 µs rounds to 1000 µs: the next unit says it better.
  const [, divisor, unit] = UNITS.find(([limit]) => ns < limit * 0.9995) ?? UNITS[UNITS.length - 1]!;
  return `${threeDigits(ns / divisor)} ${unit}`;
}

function threeDigits(value: number): string {
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  const text = value.toFixed(digits);
  return digits ? text.replace(/\.?0+$/, "") : text;
}

/** `12345` -> `12.3 k`. */
export function count(value: number): string {
  if (Math.abs(value) < 1000) return Number.isInteger(value) ? String(value) : threeDigits(value);
  for (const [divisor, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (Math.abs(value) >= divisor * 0.9995) return `${threeDigits(value / divisor)} ${unit}`;
  }
  return String(value);
}

/** Per second; a trickle is not a zero. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return "0";
  return perSecond < 0.01 ? "<0.01" : count(perSecond);
}

/** `0.0123` -> `1.23 %`; an error among a million is not none. */
export function ratio(value: number): string {
  if (value === 0) return "0 %";
  const percent = value * 100;
  return percent < 0.01 ? "<0.01 %" : `${threeDigits(percent)} %`;
}

export function bytes(value: number): string {
  let unit = 0;
  while (value >= 999.5 && unit < 5) {
    value /= 1024;
    unit += 1;
  }
  return `${threeDigits(value)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

/** RFC 3339 with up to nine decimals -> nanoseconds since the epoch; `null` when it is no time. */
export function parseNs(time: string): bigint | null {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(time);
  if (!match) return null;
  const ms = Date.parse(`${match[1]}Z`);
  return Number.isNaN(ms) ? null : BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");

/** Local wall clock, `14:03:07.123`. */
export function clock(time: string, decimals = true): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return time;
  const seconds = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return decimals ? `${seconds}.${pad(at.getMilliseconds(), 3)}` : seconds;
}

/** Local date, `2026-11-21`. */
export function day(time: string): string {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** How long ago, roughly; the clocks of browser and server may differ by a little. */
export function ago(time: string, nowMs: number): string {
  const seconds = Math.round((nowMs - Date.parse(time)) / 1000);
  if (Number.isNaN(seconds)) return "–";
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** What a value is, in OpenTelemetry's words (JSON cannot tell 3 from 3.0). */
export function typeOf(value: Value): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "double";
  if (typeof value === "bigint") return "int";
  if (typeof value === "boolean") return "bool";
  return typeof value === "string" ? "string" : "map";
}

/** A value as text: strings bare, the rest as JSON. */
export function text(value: Value, indent = 0): string {
  return typeof value === "string" ? value : json(value, indent);
}

/** JSON.stringify that also takes the 64-bit integers `parseJson` kept whole. */
function json(value: Value, indent: number): string {
  const bigs: string[] = [];
  const marked = JSON.stringify(
    value,
    (_key, each: unknown) => (typeof each === "bigint" ? `\u0000${bigs.push(String(each)) - 1}` : each),
    indent,
  );
  return marked.replace(/"\\u0000(\d+)"/g, (_match, index: string) => bigs[Number(index)]!);
}
