// Sends one of everything with the stock Node SDK, set up from OTEL_* variables; prints what it sent, as JSON.
//
// Run with NODE_PATH naming the directory where @opentelemetry/* is installed.
"use strict";

const { SpanKind, SpanStatusCode, context, metrics, trace } = require("@opentelemetry/api");
const { SeverityNumber, logs } = require("@opentelemetry/api-logs");
const sdk = require("@opentelemetry/sdk-node");

const SCOPE = "wire.node";
const attributes = {
  text: "naïve ☃ \u{1f980}",
  "text.empty": "",
  int: 42,
  "int.zero": 0,
  "int.safe": Number.MAX_SAFE_INTEGER,
  "int.negative": -7,
  double: 0.1,
  "double.tiny": 5e-324,
  "bool.yes": true,
  "bool.no": false,
  texts: ["a", "", "ü"],
  ints: [1, -2],
  doubles: [0.5, -0.25],
  bools: [true, false],
  "nothing in it": [],
};
const bodies = ["plain text", "", 7, 2.5, true, ["a", 1, 2.5], { user: { id: 7, tags: ["x"] }, ok: false }];

const node = new sdk.NodeSDK({
  instrumentations: [],
  views: [{ instrumentName: "wire.size", aggregation: { type: sdk.metrics.AggregationType.EXPONENTIAL_HISTOGRAM } }],
});
node.start();

/** Times as [seconds, nanoseconds]: the SDK's own form, exact to the nanosecond. */
const second = Math.floor(Date.now() / 1000) - 5;
const at = (nanoseconds) => [second, nanoseconds];

function spans() {
  const tracer = trace.getTracer(SCOPE);
  const linked = { traceId: "0".repeat(31) + "a", spanId: "0".repeat(15) + "b", traceFlags: 1 };
  const root = tracer.startSpan("root", {
    kind: SpanKind.SERVER,
    startTime: at(123456789),
    attributes,
    links: [{ context: linked, attributes }],
  });
  root.addEvent("moment", attributes, at(123456790));
  const inside = trace.setSpan(context.active(), root);
  const child = tracer.startSpan("child", { kind: SpanKind.CLIENT, startTime: at(200000000) }, inside);
  child.setStatus({ code: SpanStatusCode.OK });
  child.end(at(200000010));
  root.recordException(new RangeError("the cat is out"), at(300000000));
  root.setStatus({ code: SpanStatusCode.ERROR, message: "no cat" });
  root.end(at(999999999));
  return { root, child, inside };
}

function records(inside) {
  const logger = logs.getLogger(SCOPE);
  for (const [number, body] of bodies.entries()) logger.emit({ body, attributes: { number } });
  logger.emit({
    timestamp: at(987654321),
    observedTimestamp: at(987654322),
    severityNumber: SeverityNumber.ERROR2,
    severityText: "grave",
    eventName: "wire.event",
    body: "it broke",
    attributes: { ...attributes, bytes: new Uint8Array([0, 255, 16]), map: { a: { b: [1, "two"] } } },
    context: inside,
  });
}

function measurements(inside) {
  const meter = metrics.getMeter(SCOPE);
  const red = { colour: "red" };
  const counter = meter.createCounter("wire.requests", { unit: "{request}", description: "Requests seen" });
  counter.add(3, red);
  counter.add(4, red);
  meter.createCounter("wire.sent", { unit: "By" }).add(0.25, red);
  const level = meter.createUpDownCounter("wire.level");
  level.add(5);
  level.add(-7);
  meter.createGauge("wire.temperature", { unit: "Cel" }).record(-273.15, red);
  meter.createObservableCounter("wire.cpu", { unit: "s" }).addCallback((result) => result.observe(1.5, red));
  meter.createObservableUpDownCounter("wire.heap", { unit: "By" }).addCallback((result) => result.observe(-4));
  meter.createObservableGauge("wire.ratio", { unit: "1" }).addCallback((result) => result.observe(0.75));
  const latency = meter.createHistogram("wire.latency", { unit: "s", advice: { explicitBucketBoundaries: [0.1, 1, 10] } });
  for (const value of [0.05, 0.1, 0.5, 5, 50, 500]) latency.record(value, red, inside);
  const size = meter.createHistogram("wire.size", { unit: "By" });
  for (const value of [0, 1, 2, 4, 1000000]) size.record(value, red);
}

const { root, child, inside } = spans();
records(inside);
measurements(inside);
const ids = (span) => ({ trace_id: span.spanContext().traceId, span_id: span.spanContext().spanId });
node
  .shutdown()
  .then(() => console.log(JSON.stringify({ attributes, bodies, second, root: ids(root), child: ids(child) })));
