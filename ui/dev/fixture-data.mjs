// A shop that never was: what each second held is a function of that second, so any window can be asked for again.

const ROUTES = [
  ["GET /products", 6, [["catalog", "GET /api/products", [["catalog", "SELECT products", "db"], ["search", "search.Query/Find", [["search", "GET products/_search", "db"]]]]], ["frontend", "render products.html", []]]],
  ["GET /cart", 4, [["cart", "cart.Cart/Get", [["cart", "HGETALL cart", "cache"]]], ["catalog", "GET /api/products/{id}", [["catalog", "SELECT product", "db"]]], ["frontend", "render cart.html", []]]],
  ["POST /checkout", 2, [
    ["cart", "cart.Cart/Get", [["cart", "HGETALL cart", "cache"]]],
    ["checkout", "POST /api/orders", [
      ["inventory", "inventory.Stock/Reserve", [["inventory", "UPDATE stock", "db"], ["inventory", "UPDATE stock", "db"]]],
      ["payment", "payment.Payment/Charge", [["payment", "fraud-score", []], ["payment", "POST bank/charges", "http"]]],
      ["checkout", "INSERT orders", "db"],
      ["checkout", "publish order.created", [["mailer", "process order.created", [["mailer", "render receipt", []], ["mailer", "SMTP send", "http"]]]]],
    ]],
    ["frontend", "render thanks.html", []],
  ]],
  ["GET /healthz", 1, []],
];
const BASE_MS = { db: 6, cache: 0.7, http: 60 };
const SERVICES = { frontend: [11, 0.004, 48], catalog: [7.4, 0.001, 14], search: [4.2, 0.0006, 22], cart: [5.1, 0, 4], checkout: [1.9, 0.031, 160], inventory: [1.8, 0.004, 19], payment: [1.7, 0.068, 120], mailer: [1.6, 0.002, 85] };
const TRACE_CHANCE = 0.55; // traces a second: few enough to read, many enough to move
const EPOCH_S = 1_700_000_000;

export const LARGE = "f".repeat(31) + "1"; // 10,000 spans
export const BROKEN = "f".repeat(31) + "2"; // orphans, a ring, a duplicate, clocks that disagree

/** mulberry32 */
function random(seed) {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const iso = (ns) => `${new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19)}.${String(ns % 1_000_000_000n).padStart(9, "0")}Z`;
const hex = (rng, length) => Array.from({ length }, () => Math.floor(rng() * 16).toString(16)).join("");
const resource = (service) => ({ "service.name": service, "service.version": "2.4.1", "host.name": `node-${service.length % 3}`, "telemetry.sdk.language": "python", "process.pid": 4000 + service.length });

/** The trace of second `s`, or null when nobody called. */
export function traceAt(s) {
  const rng = random(s);
  if (rng() > TRACE_CHANCE) return null;
  const trace_id = (s - EPOCH_S).toString(16).padStart(8, "0") + hex(rng, 24);
  const pick = rng() * ROUTES.reduce((sum, each) => sum + each[1], 0);
  let left = pick;
  const [name, , calls] = ROUTES.find((each) => (left -= each[1]) < 0);
  const slow = rng() < 0.06 ? 4 + rng() * 9 : 1;
  const failing = name === "POST /checkout" && rng() < 0.3;
  const context = { rng, slow, failing, spans: [], logs: [], trace_id };
  span(context, "frontend", name, calls, "", BigInt(s) * 1_000_000_000n + BigInt(Math.floor(rng() * 9e8)), "server");
  return context;
}

export function traceById(id) {
  if (id === LARGE) return large();
  if (id === BROKEN) return broken();
  const trace = traceAt(parseInt(id.slice(0, 8), 16) + EPOCH_S);
  return trace?.trace_id === id ? trace : null;
}

/** Adds the span and what it calls; returns its duration in ns. */
function span(context, service, name, calls, parent_id, start, kind) {
  const { rng } = context;
  const leaf = typeof calls === "string" ? calls : null;
  const one = { span_id: hex(rng, 16), parent_id, service, name, kind: leaf ? "client" : kind, status: "unset", status_message: "", attributes: attributes(name, leaf, rng), resource: resource(service), scope: leaf === "db" ? "opentelemetry.instrumentation.psycopg" : "opentelemetry.instrumentation.fastapi", events: [], links: [] };
  context.spans.push(one);
  let at = start + BigInt(Math.floor(rng() * 400_000));
  let failed = false;
  let latest = at;
  for (const [to, callName, next] of leaf ? [] : calls) {
    const remote = to !== service;
    let parent = one.span_id;
    const from = at;
    let caller = null;
    if (remote) {
      caller = { ...one, span_id: hex(rng, 16), parent_id: one.span_id, name: callName, kind: "client", attributes: { "server.address": to, "server.port": 8080 }, events: [], links: [] };
      context.spans.push(caller);
      parent = caller.span_id;
      at += BigInt(Math.floor((0.2 + rng()) * 600_000));
    }
    const result = span(context, to, callName, next, parent, at, remote ? "server" : "internal");
    failed ||= result.failed;
    at += result.duration + BigInt(Math.floor(rng() * 700_000));
    if (caller) Object.assign(caller, { start: iso(from), duration_ns: Number(at - from), status: result.failed ? "error" : "unset" });
    if (at > latest) latest = at;
    if (rng() < 0.25) at -= result.duration / 2n; // some calls overlap
  }
  const base = leaf ? BASE_MS[leaf] : 1.2;
  const own = BigInt(Math.floor(base * (0.4 + rng() * 1.4) * 1e6 * (leaf ? context.slow : 1)));
  const end = latest + own;
  if (context.failing && name === "POST bank/charges") {
    failed = true;
    one.status_message = "card_declined: insufficient funds";
    one.events.push({ time: iso(end - 200_000n), name: "exception", attributes: { "exception.type": "payment.errors.CardDeclined", "exception.message": "card_declined: insufficient funds (charge ch_81f2)", "exception.stacktrace": STACK, "exception.escaped": true } });
  }
  if (failed) one.status = "error";
  if (leaf === "cache") one.events.push({ time: iso(start + own / 2n), name: "cache.miss", attributes: { "cache.key": "cart:8123", "cache.ttl_s": 300 } });
  Object.assign(one, { start: iso(start), duration_ns: Number(end - start) });
  log(context, one, failed, end);
  return { duration: end - start, failed };
}

const STACK = `Traceback (most recent call last):
  File "/srv/payment/charge.py", line 88, in charge
    answer = await bank.post("/charges", json=order.as_charge())
  File "/srv/payment/bank.py", line 41, in post
    return self._raise_for(response)
  File "/srv/payment/bank.py", line 67, in _raise_for
    raise CardDeclined(body["reason"], charge=body["id"])
payment.errors.CardDeclined: card_declined: insufficient funds (charge ch_81f2)`;

function attributes(name, leaf, rng) {
  if (leaf === "db") return { "db.system.name": "postgresql", "db.query.text": `${name} WHERE id = $1`, "db.response.returned_rows": Math.floor(rng() * 40), "db.cached": false };
  if (leaf === "cache") return { "db.system.name": "redis", "db.operation.name": "HGETALL" };
  const [method, route] = name.split(" ");
  if (leaf === "http") return { "http.request.method": method, "url.full": `https://${route}`, "server.port": 443, "http.response.status_code": 402, "retry.ratio": 0.25, "http.request.resend": false };
  if (!route?.startsWith("/")) return { "rpc.system": "grpc", "rpc.method": name, "queue.depth": 3, "sample.ratio": 0.25 };
  return { "http.request.method": method, "http.route": route, "url.path": route.replace("{id}", "8123"), "http.response.status_code": 200, "user_agent.original": "Mozilla/5.0", "client.address": `10.1.${Math.floor(rng() * 9)}.7`, "feature.flags": ["new-cart", "fast-search"], "user": { id: 8123, plan: "pro" } };
}

function log(context, one, failed, end) {
  const { rng, trace_id } = context;
  const say = (severity_number, severity, body, more = {}) =>
    context.logs.push({ time: iso(end - 100_000n), observed: iso(end), service: one.service, severity, severity_number, severity_text: severity.toUpperCase(), body, event: "", trace_id, span_id: one.span_id, attributes: { "code.function.name": "handle", "thread.id": 140_213_004_993_216, ...more }, resource: resource(one.service), scope: `${one.service}.app` });
  if (failed && one.name === "POST bank/charges") say(17, "error", "charge failed: card_declined (insufficient funds), order 55182", { "order.id": 55182, "exception.type": "payment.errors.CardDeclined" });
  else if (failed && one.kind === "server") say(13, "warn", `${one.name} answered 502 after ${(one.duration_ns / 1e6).toFixed(0)} ms; retrying is up to the caller`);
  else if (one.kind === "server") say(9, "info", `${one.name} 200 in ${(one.duration_ns / 1e6).toFixed(1)} ms`, { "http.response.status_code": 200 });
  else if (rng() < 0.2) say(5, "debug", `${one.name}: ${Math.floor(rng() * 90)} rows from replica eu-${1 + Math.floor(rng() * 3)}`);
  else if (context.slow > 8 && one.name.startsWith("SELECT")) say(13, "warn", `slow query (${(one.duration_ns / 1e6).toFixed(0)} ms): ${one.name} WHERE id = $1`);
}

function plain(span_id, parent_id, service, name, start, duration_ns, more = {}) {
  return { span_id, parent_id, service, name, kind: "internal", status: "unset", status_message: "", start: iso(start), duration_ns, attributes: { i: span_id }, resource: resource(service), scope: "", events: [], links: [], ...more };
}

const NOW = BigInt(EPOCH_S + 90_000_000) * 1_000_000_000n;

function large() {
  const rng = random(7);
  const names = Object.keys(SERVICES);
  const spans = [plain("0".repeat(16), "", "frontend", "nightly import", NOW, 10_000_000_000)];
  for (let i = 1; i < 10_000; i += 1) {
    const parent = spans[Math.floor(i / (2 + (i % 9)))];
    const offset = (i / 10_000) * 9.4e9;
    spans.push(plain(i.toString(16).padStart(16, "0"), parent.span_id, names[i % names.length], `step ${i}`, NOW + BigInt(Math.floor(offset)), Math.floor(rng() * 5e8), { status: i % 997 === 0 ? "error" : "unset" }));
  }
  return { trace_id: LARGE, spans, logs: [] };
}

function broken() {
  const ms = 1_000_000n;
  const spans = [
    plain("a1", "", "frontend", "GET /", NOW, 100e6, { kind: "server", links: [{ trace_id: LARGE, span_id: "0".repeat(16), attributes: { why: "follows" } }] }),
    plain("a2", "a1", "catalog", "clock is behind", NOW - 30n * ms, 60e6),
    plain("a3", "gone", "cart", "parent never came", NOW + 20n * ms, 30e6),
    plain("a4", "a5", "search", "ring, one half", NOW + 10n * ms, 20e6),
    plain("a5", "a4", "search", "ring, other half", NOW + 12n * ms, 9e6),
    plain("a6", "a6", "mailer", "its own parent", NOW + 70n * ms, 5e6),
    plain("a3", "gone", "cart", "same id again", NOW + 55n * ms, 8e6),
    plain("a7", "a1", "payment", "outlives its parent", NOW + 90n * ms, 45e6, { status: "error", status_message: "too late" }),
    plain("a8", "a1", "", "", NOW + 95n * ms, 0),
  ];
  return { trace_id: BROKEN, spans, logs: [] };
}

/** Calls, errors and quantiles of a service in [from, from + step) seconds. */
export function point(service, from_s, step_s) {
  const [base, errors, p50_ms] = SERVICES[service];
  const rng = random(Math.floor(from_s / step_s) * 31 + service.length * 7 + service.charCodeAt(1));
  const wave = 1 + 0.25 * Math.sin(from_s / 700) + 0.1 * Math.sin(from_s / 97 + service.length);
  const trouble = Math.max(0, Math.sin(from_s / 431 + service.length)) ** 14; // now and then
  const spans = Math.max(0, Math.round(base * wave * step_s * (0.94 + rng() * 0.12)));
  const p50_ns = Math.round(p50_ms * 1e6 * (0.95 + rng() * 0.1) * (1 + trouble * 0.4));
  return { time: iso(BigInt(from_s) * 1_000_000_000n), spans, errors: Math.round(spans * errors * (rng() * 1.3 + trouble * 4)), p50_ns, p95_ns: Math.round(p50_ns * (2.6 + rng() * 0.5 + trouble * 3)), p99_ns: Math.round(p50_ns * (4.4 + rng() * 1.4 + trouble * 7)) };
}

export const serviceNames = Object.keys(SERVICES);
