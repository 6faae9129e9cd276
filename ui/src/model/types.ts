/** The native API's answers, as the server documents them. Times are strings (UTC, nanoseconds), ids lower-case hex. */

export type Value = string | number | bigint | boolean | null | Value[] | { [key: string]: Value };
export type Attributes = { [key: string]: Value };

export interface Service {
  service: string;
  /** Entry spans (server, consumer or root) in the window; `errors` among them. */
  spans: number;
  errors: number;
  rate_per_s: number;
  error_ratio: number;
  p50_ns: number | null;
  p95_ns: number | null;
  p99_ns: number | null;
  logs: number;
  last_seen: string;
}

export interface Point {
  time: string;
  spans: number;
  errors: number;
  p50_ns: number | null;
  p95_ns: number | null;
  p99_ns: number | null;
}

export interface Series {
  step_s: number;
  points: Point[];
}

export interface TraceSummary {
  trace_id: string;
  start: string;
  duration_ns: number;
  spans: number;
  errors: number;
  root_service: string;
  root_name: string;
  services: string[];
}

export interface SpanEvent {
  time: string;
  name: string;
  attributes: Attributes;
}

export interface SpanLink {
  trace_id: string;
  span_id: string;
  attributes: Attributes;
}

export interface Span {
  span_id: string;
  /** Empty for a root. */
  parent_id: string;
  service: string;
  name: string;
  kind: string;
  status: string;
  status_message: string;
  start: string;
  duration_ns: number;
  attributes: Attributes;
  resource: Attributes;
  scope: string;
  events: SpanEvent[];
  links: SpanLink[];
}

export interface Trace {
  trace_id: string;
  spans: Span[];
}

export interface LogRecord {
  time: string;
  observed: string;
  service: string;
  severity: string;
  severity_number: number;
  severity_text: string;
  body: Value;
  event: string;
  trace_id: string;
  span_id: string;
  attributes: Attributes;
  resource: Attributes;
  scope: string;
}

export interface Status {
  version: string;
  uptime_s: number;
  ready: boolean;
  parts: { name: string; state: string; detail: string }[];
  ingest: { spans: number; logs: number; samples: number; rejected: number };
  disk: { used_bytes: number; free_bytes: number };
}

export interface Table {
  columns: { name: string; type: string }[];
  rows: Value[][];
  stats: { rows_read: number; bytes_read: number; elapsed_ns: number };
}
