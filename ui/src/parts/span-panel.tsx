/** One span, whole. */
import { useHere } from "../here";
import type { Piece } from "../model/critical";
import { duration, parseNs, ratio, text } from "../model/format";
import { link } from "../model/location";
import type { Node } from "../model/tree";
import type { LogRecord, Span, SpanEvent } from "../model/types";
import { Copy } from "./copy";
import { Fields } from "./fields";
import { Icon } from "./icon";
import { LogList } from "./log-list";
import { ServiceName } from "./service-name";

interface Props {
  node: Node;
  critical: readonly Piece[];
  total_ns: number;
  logs: readonly LogRecord[];
  onClose: () => void;
}

export function SpanPanel({ node, critical, total_ns, logs, onClose }: Props) {
  const { span } = node;
  const here = useHere();
  const waited = critical.reduce((sum, each) => sum + each.to_ns - each.from_ns, 0);
  return (
    <aside class="panel" aria-label="Span">
      <header>
        <h2>{span.name || "(no name)"}</h2>
        <button class="icon" onClick={onClose} title="Close (Esc)"><Icon name="close" /></button>
        <p class="facts">
          <a href={link("services", span.service, here.params)}><ServiceName name={span.service} /></a>
          <span class="tag">{span.kind}</span>
          {span.status !== "unset" && <span class={`tag ${span.status === "error" ? "bad" : "good"}`}>{span.status}</span>}
        </p>
      </header>
      {span.status_message && <p class="status-message">{span.status_message}</p>}
      <dl class="figures">
        <div><dt>Duration</dt><dd>{duration(span.duration_ns)}</dd></div>
        <div><dt>Self time</dt><dd>{duration(node.self_ns)}</dd></div>
        <div><dt>Starts at</dt><dd>{duration(node.offset_ns)}</dd></div>
        <div><dt>On critical path</dt><dd>{waited ? ratio(waited / Math.max(1, total_ns)) : "no"}</dd></div>
      </dl>
      <Fields of={span.attributes} title="Attributes" />
      <Events span={span} />
      {logs.length > 0 && <section class="fields"><h4>Logs <small>{logs.length}</small></h4><LogList logs={logs} bare /></section>}
      <Links span={span} />
      <Fields of={span.resource} title="Resource" />
      <section class="fields">
        <h4>Identity</h4>
        <p class="ids">
          <Copy text={span.span_id} label={`span ${span.span_id}`} />
          {span.parent_id && <Copy text={span.parent_id} label={`parent ${span.parent_id}`} />}
          <span>{span.start}</span>
          {span.scope && <span>scope {span.scope}</span>}
        </p>
      </section>
    </aside>
  );
}

function Events({ span }: { span: Span }) {
  if (span.events.length === 0) return null;
  const start = parseNs(span.start) ?? 0n;
  return (
    <section class="fields">
      <h4>Events <small>{span.events.length}</small></h4>
      {span.events.map((event, i) => {
        const after = duration(Number((parseNs(event.time) ?? start) - start));
        return event.name === "exception" ? <Exception key={i} event={event} after={after} /> : (
          <div key={i} class="event">
            <p><b>{event.name}</b> <small>+{after}</small></p>
            <Fields of={event.attributes} />
          </div>
        );
      })}
    </section>
  );
}

/** Names as in OpenTelemetry's semantic conventions for exceptions. */
function Exception({ event, after }: { event: SpanEvent; after: string }) {
  const { "exception.type": type, "exception.message": message, "exception.stacktrace": stack, ...others } = event.attributes;
  return (
    <div class="event exception">
      <p><b>{text(type ?? "exception")}</b> <small>+{after}</small></p>
      {message !== undefined && <p>{text(message)}</p>}
      {stack !== undefined && <pre>{text(stack)}</pre>}
      <Fields of={others} />
    </div>
  );
}

function Links({ span }: { span: Span }) {
  const here = useHere();
  if (span.links.length === 0) return null;
  return (
    <section class="fields">
      <h4>Links <small>{span.links.length}</small></h4>
      {span.links.map((each) => (
        <div key={each.trace_id + each.span_id} class="event">
          <p><a href={link("traces", each.trace_id, here.params, { span: each.span_id })}><code>{each.trace_id}</code></a></p>
          <Fields of={each.attributes} />
        </div>
      ))}
    </section>
  );
}
