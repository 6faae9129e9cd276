// Takes orders over HTTP and dispatches them in batches; Node's own http server on the stock OTel SDK.
"use strict";

const sdk = require("./telemetry.js");
const http = require("node:http");
const { randomUUID } = require("node:crypto");
const { SpanKind, SpanStatusCode, context, metrics, trace } = require("@opentelemetry/api");
const pino = require("pino");

const DISPATCH_EVERY_MS = 500;
const SHELF_KG = 100;
const WEIGHTS_KG = { anvil: 250, piano: 90, lamp: 3 };
const BODY_LIMIT_BYTES = 64 * 1024;

const log = pino({ name: "orders" });
const tracer = trace.getTracer("trio.orders");
const meter = metrics.getMeter("trio.orders");
const placed = meter.createCounter("orders.received", { unit: "{order}", description: "Orders asked for, by outcome" });
const queued = meter.createUpDownCounter("orders.queued", { unit: "{order}", description: "Orders awaiting dispatch" });
const load = meter.createGauge("orders.shelf.load", { unit: "kg", description: "Weight of the last order" });
const duration = meter.createHistogram("orders.duration", { unit: "s", description: "Time taken to accept an order" });
const amount = meter.createHistogram("orders.amount", { unit: "{EUR}", description: "Value of accepted orders" });

class Declined extends Error {}

/** @type {{id: string, span: import("@opentelemetry/api").SpanContext}[]} */
const queue = [];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function accept(order) {
  return tracer.startActiveSpan("reserve shelf", async (span) => {
    try {
      const weight = order.skus.reduce((sum, sku) => sum + (WEIGHTS_KG[sku] ?? 0.5), 0);
      span.setAttributes({ customer: order.customer, skus: order.skus, items: order.skus.length });
      span.setAttributes({ "weight.kg": weight, fragile: order.skus.includes("lamp") });
      if (order.card === "declined") throw new Declined(`card of ${order.customer} was declined`);
      if (weight > SHELF_KG) throw new RangeError(`${weight} kg is more than a shelf carries`);
      if (order.skus.includes("piano")) {
        span.addEvent("calling the movers", { movers: 4, insured: true });
        await sleep(200);
      }
      load.record(weight);
      amount.record(order.total);
      const id = randomUUID();
      queue.push({ id, span: span.spanContext() });
      queued.add(1);
      log.info({ order: { id, skus: order.skus }, total: order.total, weight }, "order accepted");
      return { id, total: order.total };
    } catch (error) {
      span.recordException(error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** One consumer trace for a batch, linked to the request of every order in it. */
function dispatch() {
  if (queue.length === 0) return;
  const batch = queue.splice(0);
  const links = batch.map(({ id, span }) => ({ context: span, attributes: { "order.id": id } }));
  tracer.startActiveSpan("dispatch", { kind: SpanKind.CONSUMER, root: true, links }, (span) => {
    span.setAttributes({ orders: batch.length, "order.ids": batch.map(({ id }) => id) });
    queued.add(-batch.length);
    log.info({ orders: batch.length }, "dispatched");
    span.end();
  });
}

async function body(request) {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > BODY_LIMIT_BYTES) throw new RangeError("order too long");
  }
  return JSON.parse(text);
}

function reply(response, status, answer) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(answer));
}

async function post(request, response) {
  const started = performance.now();
  let outcome = "accepted";
  trace.getSpan(context.active())?.setAttribute("http.route", "/orders").updateName("POST /orders");
  try {
    reply(response, 201, await accept(await body(request)));
  } catch (error) {
    const declined = error instanceof Declined;
    outcome = declined ? "declined" : "failed";
    if (declined) log.warn({ outcome }, error.message);
    else log.error({ err: error, outcome }, "order failed");
    reply(response, declined ? 402 : 500, { error: error.message });
  } finally {
    placed.add(1, { outcome });
    duration.record((performance.now() - started) / 1000, { outcome });
  }
}

const server = http.createServer((request, response) => {
  if (request.url === "/healthz") reply(response, 200, { status: "ok" });
  else if (request.method === "POST" && request.url === "/orders") post(request, response);
  else reply(response, 404, { error: "unknown path" });
});
const dispatcher = setInterval(dispatch, DISPATCH_EVERY_MS);

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    clearInterval(dispatcher);
    server.close(async () => {
      dispatch();
      await sdk.shutdown();
    });
    server.closeIdleConnections();
  });
}

const [host, port] = process.env.ORDERS_ADDRESS.split(":");
server.listen(Number(port), host, () => log.info({ host, port }, "listening"));
