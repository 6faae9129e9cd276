/** What stands there when data does not: refusals, and emptiness that says what to do. */
import type { ComponentChildren } from "preact";
import type { Refusal } from "../api";
import { useHere } from "../here";
import type { Answer } from "../poll";
import { Copy } from "./copy";
import { Icon } from "./icon";

/** The server's error letter as it wrote it. */
export function Letter({ error }: { error: Refusal }) {
  return (
    <div class="letter" role="alert">
      <Icon name="warning" />
      <div>
        <p class="what">{error.what}</p>
        {error.where && <p><b>where</b> {error.where}</p>}
        {error.hint && <p><b>hint</b> {error.hint}</p>}
      </div>
      <code>{error.code}</code>
    </div>
  );
}

/** The data, with the letter above it when the last question failed; what was there before stays. */
export function Shown<T>(props: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, loading } = props.answer;
  return (
    <>
      {error && <Letter error={error} />}
      {data === null ? !error && <div class="waiting" aria-busy="true" /> : (
        <div class={loading ? "stale" : ""}>{props.children(data)}</div>
      )}
    </>
  );
}

/** `filters`: the parameters that may be why nothing shows. */
export function Nothing({ what, filters = [] }: { what: string; filters?: readonly string[] }) {
  const here = useHere();
  const set = filters.filter((each) => here.params.has(each));
  if (set.length > 0) {
    return (
      <div class="empty">
        <h2>No {what} match</h2>
        <p>Nothing in this window passes the filters.</p>
        <button onClick={() => here.change(Object.fromEntries(set.map((each) => [each, null])), true)}>Clear the filters</button>
      </div>
    );
  }
  const wider = here.window.fixed || here.window.range !== "24h";
  return (
    <div class="empty">
      <Icon name="gnomon" />
      <h2>No {what} in this window</h2>
      {wider && <button onClick={() => here.change({ range: "24h", from: null, to: null }, true)}>Look at the last 24 hours</button>}
      <p>Any OpenTelemetry SDK or collector can send here. Set these, and start your service:</p>
      <EnvLines />
    </div>
  );
}

function EnvLines() {
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const lines = `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4318\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`;
  return (
    <div class="env">
      <pre>{lines}</pre>
      <Copy text={lines} label="Copy" />
    </div>
  );
}
