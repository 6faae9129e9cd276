/** The address bar is the state: what a page shows is read from its URL, so every view is a link. Pure. */

/** The first path segments the console answers to; the server serves its page for exactly these. */
export const PAGES = ["services", "traces", "logs", "sql"] as const;
export type PageName = (typeof PAGES)[number];

export interface Place {
  page: PageName;
  /** A service's name or a trace's id; empty for the page's list. */
  id: string;
  params: URLSearchParams;
}

export const RANGES = { "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800 } as const;
export type RangeName = keyof typeof RANGES;
export const DEFAULT_RANGE: RangeName = "15m";

const LAST_S = 8.64e12; // what a Date can hold

/** Seconds since the epoch. Live windows end now and move on; a window with `from` and `to` stands still. */
export interface Window {
  range: RangeName;
  fixed: { from_s: number; to_s: number } | null;
}

/** `null` for an address that is none of ours. */
export function parsePlace(pathname: string, search: string): Place | null {
  const [head = "", id = "", ...rest] = pathname.replace(/^\//, "").split("/");
  const page = head === "" ? "services" : PAGES.find((each) => each === head);
  if (!page || rest.some((each) => each !== "") || (id && page !== "services" && page !== "traces")) return null;
  const name = decode(id);
  return name === null ? null : { page, id: name, params: new URLSearchParams(search) };
}

function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null; // "%E0%A4%A": not what we wrote
  }
}

export function parseWindow(params: URLSearchParams): Window {
  const asked = params.get("range") ?? "";
  const range = Object.hasOwn(RANGES, asked) ? (asked as RangeName) : DEFAULT_RANGE;
  const from_s = Number(params.get("from") || NaN);
  const to_s = Number(params.get("to") || NaN);
  return { range, fixed: 0 <= from_s && from_s < to_s && to_s <= LAST_S ? { from_s, to_s } : null };
}

/** The bounds of a window, in seconds; a live one ends now. */
export function bounds(window: Window, nowMs: number): { from_s: number; to_s: number } {
  if (window.fixed) return window.fixed;
  const to_s = nowMs / 1000;
  return { from_s: to_s - RANGES[window.range], to_s };
}

/** An address with some parameters changed: `null` or an empty string takes one away, a default need not be said. */
export function withParams(params: URLSearchParams, change: Record<string, string | null>): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(change)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  if (next.get("range") === DEFAULT_RANGE) next.delete("range");
  return next;
}

/** The link to a place: the time window goes along from the place one is at, the filters do not. */
export function link(page: PageName, id: string, here: URLSearchParams, params: Record<string, string> = {}): string {
  const kept = new URLSearchParams();
  for (const name of ["range", "from", "to"]) {
    const value = here.get(name);
    if (value) kept.set(name, value);
  }
  const search = withParams(kept, params).toString();
  return `/${page}${id ? `/${encodeURIComponent(id)}` : ""}${search ? `?${search}` : ""}`;
}
