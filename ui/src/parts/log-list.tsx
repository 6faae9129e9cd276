import { useState } from "preact/hooks";
import { useHere } from "../here";
import { clock, day, text } from "../model/format";
import { link } from "../model/location";
import type { LogRecord } from "../model/types";
import { Copy } from "./copy";
import { Fields } from "./fields";
import { Icon } from "./icon";
import { ServiceName } from "./service-name";

/** Newest first. A row stays open while new ones come in above it. */
export function LogList({ logs, mark = "", bare = false }: { logs: readonly LogRecord[]; mark?: string; bare?: boolean }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const toggle = (event: MouseEvent, key: string): void => {
    const selecting = window.getSelection()?.toString();
    if (selecting || (event.target as Element).closest("a")) return;
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  return (
    <ol class={`logs ${bare ? "bare" : ""}`}>
      {keyed(logs).map(([key, log]) => (
        <li key={key} class={`s-${log.severity}`}>
          <div class="line" onClick={(event) => toggle(event, key)}>
            <button class="caret" aria-expanded={open.has(key)} aria-label="Details"><Icon name="caret" /></button>
            <time title={`${day(log.time)} ${log.time}`}>{clock(log.time)}</time>
            <span class="severity">{log.severity}</span>
            <ServiceName name={log.service} />
            <span class="body">{log.event && <em>{log.event}</em>} <Marked text={text(log.body)} mark={mark} /></span>
            {log.trace_id && !bare && <TraceLink log={log} />}
          </div>
          {open.has(key) && <Details log={log} />}
        </li>
      ))}
    </ol>
  );
}

function TraceLink({ log }: { log: LogRecord }) {
  const here = useHere();
  return (
    <a class="to-trace" href={link("traces", log.trace_id, here.params, { span: log.span_id })} title="Its trace">
      <Icon name="traces" />
      <span>{log.trace_id.slice(0, 7)}</span>
    </a>
  );
}

function Details({ log }: { log: LogRecord }) {
  return (
    <div class="details">
      <pre class="whole">{text(log.body, 2)}</pre>
      <p class="ids">
        <span>{log.time}</span>
        {log.severity_text && <span>{log.severity_text} ({log.severity_number})</span>}
        {log.scope && <span>scope {log.scope}</span>}
        {log.trace_id && <Copy text={log.trace_id} label={`trace ${log.trace_id}`} />}
        {log.span_id && <Copy text={log.span_id} label={`span ${log.span_id}`} />}
      </p>
      <Fields of={log.attributes} title="Attributes" />
      <Fields of={log.resource} title="Resource" />
    </div>
  );
}

function Marked({ text, mark }: { text: string; mark: string }) {
  if (!mark) return <>{text}</>;
  const low = text.toLowerCase();
  const at = low.length === text.length ? low.indexOf(mark.toLowerCase()) : -1;
  if (at < 0) return <>{text}</>;
  return (
    <>
      {text.slice(0, at)}<mark>{text.slice(at, at + mark.length)}</mark>{text.slice(at + mark.length)}
    </>
  );
}

/** Log records have no id, and equal ones are told apart by how many came before. */
function keyed(logs: readonly LogRecord[]): [key: string, log: LogRecord][] {
  const seen = new Map<string, number>();
  // From the oldest on, so that a newcomer does not rename those it resembles.
  return logs.toReversed().map((log): [string, LogRecord] => {
    const key = `${log.time}|${log.service}|${log.span_id}|${text(log.body)}`;
    const before = seen.get(key) ?? 0;
    seen.set(key, before + 1);
    return [`${key}|${before}`, log];
  }).reverse();
}
