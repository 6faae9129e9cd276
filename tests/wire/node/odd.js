// Sends numbers that JSON, or a 64-bit integer, cannot hold, between things that are well; prints the trace's id.
"use strict";

const { context, metrics, trace } = require("@opentelemetry/api");
const { NodeSDK } = require("@opentelemetry/sdk-node");

const node = new NodeSDK({ instrumentations: [] });
node.start();

const tracer = trace.getTracer("wire.odd");
const before = tracer.startSpan("before");
const inside = trace.setSpan(context.active(), before);
// The JSON exporter writes {"intValue": 1e+300} for the first and {"doubleValue": null} for the others.
const odd = { huge: 1e300, infinite: -Infinity, "not a number": NaN };
tracer.startSpan("odd", { attributes: { ...odd, plain: 1, holes: [null, "x"] } }, inside).end();
tracer.startSpan("after", { attributes: { plain: 1 } }, inside).end();
before.end();

const meter = metrics.getMeter("wire.odd");
meter.createGauge("wire.odd").record(NaN);
meter.createGauge("wire.even").record(2);

node.shutdown().then(() => console.log(before.spanContext().traceId));
