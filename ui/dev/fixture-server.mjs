// The native API's contract over made-up data, and the built console beside it: for looks, and for the browser test.
// `node dev/fixture-server.mjs [--port 4319] [--static DIR] [--empty] [--token SECRET]`; port 0 takes a free one. Prints its address.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { BROKEN, LARGE, iso, point, serviceNames, traceAt, traceById } from "./fixture-data.mjs";

const OUT = fileURLToPath(new URL("../../packages/gnomon-server/src/gnomon_server/web/static", import.meta.url));
const { values: options } = parseArgs({ options: { port: { type: "string", default: "4319" }, static: { type: "string", default: OUT }, empty: { type: "boolean", default: false }, token: { type: "string", default: "" } } });
const SEVERITY = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const LOOK_BACK_S = 6000; // as far as a list walks back for what the filters leave

const refuse = (status, code, what, where = "", hint = "") => ({ status, body: { error: { code, what, where, hint } } });

function* traces(start_s, end_s) {
  for (let s = end_s; s >= Math.max(start_s, end_s - LOOK_BACK_S); s -= 1) {
    const trace = options.empty ? null : traceAt(s);
    if (trace) yield trace;
  }
}

function take(source, limit, keep) {
  const taken = [];
  for (const each of source) {
    if (keep(each) && taken.push(each) >= limit) break;
  }
  return taken;
}

function summary({ trace_id, spans }) {
  const [root] = spans;
  return { trace_id, start: root.start, duration_ns: root.duration_ns, spans: spans.length, errors: spans.filter((each) => each.status === "error").length, root_service: root.service, root_name: root.name, services: [...new Set(spans.map((each) => each.service))] };
}

function* points(service, { start_s, end_s }, step_s) {
  for (let s = Math.floor(start_s / step_s) * step_s; s < end_s; s += step_s) yield point(service, s, step_s);
}

function service(name, window) {
  const all = [...points(name, window, Math.max(10, Math.round((window.end_s - window.start_s) / 90)))];
  const [spans, errors] = ["spans", "errors"].map((key) => all.reduce((sum, each) => sum + each[key], 0));
  const mean = (key) => Math.round(all.reduce((sum, each) => sum + each[key], 0) / all.length);
  return { service: name, spans, errors, rate_per_s: spans / (window.end_s - window.start_s), error_ratio: spans ? errors / spans : 0, p50_ns: mean("p50_ns"), p95_ns: mean("p95_ns"), p99_ns: mean("p99_ns"), logs: spans * 3, last_seen: iso(BigInt(Math.floor(window.end_s)) * 1_000_000_000n) };
}

const ANSWERS = [
  [/^\/services$/, (_match, _query, window) => ({ services: options.empty ? [] : serviceNames.map((each) => service(each, window)) })],
  [/^\/services\/([^/]+)\/series$/, ([, name], query, window) => {
    const step_s = Number(query.get("step_s") ?? 60);
    return { step_s, points: serviceNames.includes(name) && !options.empty ? [...points(name, window, step_s)] : [] };
  }],
  [/^\/traces$/, (_match, query, window) => {
    const least = Number(query.get("min_duration_ns") ?? 0);
    const keep = (each) => (!query.get("service") || each.services.includes(query.get("service"))) && (query.get("status") !== "error" || each.errors) && each.duration_ns >= least && Date.parse(each.start) / 1000 <= window.end_s;
    return { traces: take(map(traces(window.start_s, window.end_s), summary), Number(query.get("limit") ?? 50), keep) };
  }],
  [/^\/traces\/(\w+)$/, ([, id]) => {
    const trace = traceById(id);
    return trace ? { trace_id: trace.trace_id, spans: trace.spans } : refuse(404, "trace_not_found", `no span of trace ${id} is stored`, "path: trace_id", "It may not have arrived yet, or be older than the retention.");
  }],
  [/^\/logs$/, (_match, query, window) => {
    const one = query.get("trace_id");
    const source = one ? [traceById(one)].filter(Boolean) : traces(window.start_s, window.end_s);
    const least = SEVERITY[query.get("severity") ?? "trace"];
    const q = query.get("q") ?? "";
    const keep = (each) => each.severity_number >= least && (!query.get("service") || each.service === query.get("service")) && each.body.includes(q) && Date.parse(each.time) / 1000 <= window.end_s;
    return { logs: take(logs(source), Number(query.get("limit") ?? 50), keep) };
  }],
  [/^\/status$/, () => ({ version: "0.1.0", uptime_s: 5400, ready: true, parts: [{ name: "engine", state: "ready", detail: "ClickHouse 26.9" }, { name: "intake", state: "ready", detail: "0 queued" }], ingest: { spans: 182_332, logs: 61_220, samples: 902_113, rejected: 0 }, disk: { used_bytes: 3.2e9, free_bytes: 91e9 } })],
];

function* map(source, change) {
  for (const each of source) yield change(each);
}

function* logs(source) {
  for (const each of source) yield* each.logs.toSorted((a, b) => (a.time < b.time ? 1 : -1));
}

function sql(query) {
  const at = query.split("\n").findIndex((line) => /system\./.test(line));
  if (at >= 0) return refuse(403, "table_not_allowed", `system tables are not open to queries: line ${at + 1}, column ${query.split("\n")[at].indexOf("system.") + 1}`, "query", "The open views are spans, logs, metrics, series.");
  return { columns: [{ name: "service", type: "String" }, { name: "spans", type: "UInt64" }, { name: "errors", type: "UInt64" }], rows: serviceNames.map((each, i) => [each, 9000 - i * 811, i * 3]), stats: { rows_read: 182_332, bytes_read: 5_211_332, elapsed_ns: 8_123_456 } };
}

async function api(request, url) {
  if (options.token && request.headers.authorization !== `Bearer ${options.token}`) return refuse(401, "token_missing", "this server wants a token", "header authorization", "Ask whoever runs it for one with the scope `read`.");
  const path = url.pathname.replace("/api/gnomon/v1", "");
  if (path === "/sql") {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    return sql(JSON.parse(Buffer.concat(chunks).toString()).query);
  }
  const end_s = Number(url.searchParams.get("end") ?? Date.now() / 1000);
  const window = { start_s: Number(url.searchParams.get("start") ?? end_s - 3600), end_s: Math.floor(end_s) };
  for (const [pattern, answer] of ANSWERS) {
    const match = pattern.exec(decodeURIComponent(path));
    if (match) return answer(match, url.searchParams, window);
  }
  return refuse(404, "not_found", `no such address: ${path}`);
}

async function file(pathname) {
  const known = extname(pathname) ? normalize(pathname) : "/index.html";
  return { body: await readFile(join(options.static, known)), type: TYPES[extname(known)] ?? "application/octet-stream" };
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  try {
    if (url.pathname.startsWith("/api/")) {
      const answer = await api(request, url);
      response.writeHead(answer.status ?? 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer.status ? answer.body : answer));
    } else {
      const { body, type } = await file(url.pathname);
      response.writeHead(200, { "content-type": type, "content-security-policy": "default-src 'self'" });
      response.end(body);
    }
  } catch (error) {
    response.writeHead(error.code === "ENOENT" ? 404 : 500, { "content-type": "text/plain" });
    response.end(String(error.message));
  }
});
server.listen(Number(options.port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/  (10,000 spans: /traces/${LARGE}, broken: /traces/${BROKEN})`);
});
