// The stock Node SDK, set up from the standard OTEL_* variables: `node --require ./telemetry.js orders.js`.
"use strict";

const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
const { PinoInstrumentation } = require("@opentelemetry/instrumentation-pino");
const { NodeSDK, metrics } = require("@opentelemetry/sdk-node");

const sdk = new NodeSDK({
  instrumentations: [
    new HttpInstrumentation({ ignoreIncomingRequestHook: (request) => request.url === "/healthz" }),
    new PinoInstrumentation(), // every pino line becomes an OTLP record with its trace
  ],
  // Amounts of money span six orders of magnitude: no fixed buckets suit them.
  views: [
    { instrumentName: "*.amount", aggregation: { type: metrics.AggregationType.EXPONENTIAL_HISTOGRAM } },
  ],
});
sdk.start();

module.exports = sdk;
