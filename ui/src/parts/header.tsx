/** Name, pages, time window, live switch, status. */
import { useState } from "preact/hooks";
import { address } from "../api";
import { toggleLive, useHere } from "../here";
import { bytes, clock, count, day } from "../model/format";
import { PAGES, RANGES, link } from "../model/location";
import type { Status } from "../model/types";
import { useAnswer } from "../poll";
import { type IconName, Icon } from "./icon";

const TITLES = { services: "Services", traces: "Traces", logs: "Logs", sql: "SQL" } as const;
const ICONS: Record<(typeof PAGES)[number], IconName> = { services: "services", traces: "traces", logs: "logs", sql: "sql" };
const STATUS_MS = 5000;

export function Header({ onHelp, onSession }: { onHelp: () => void; onSession: () => void }) {
  const { place, params } = useHere();
  return (
    <header class="top">
      <a class="brand" href={link("services", "", params)} aria-label="Gnomon">
        <Icon name="gnomon" />
        <span>Gnomon</span>
      </a>
      <nav aria-label="Pages">
        {PAGES.map((page) => (
          <a key={page} href={link(page, "", params)} aria-current={place?.page === page ? "page" : undefined}>
            <Icon name={ICONS[page]} />
            {TITLES[page]}
          </a>
        ))}
      </nav>
      <div class="tools">
        <RangePicker />
        <StatusDot />
        <ThemeSwitch />
        <button class="icon" onClick={onSession} title="Token and tenant"><Icon name="key" /></button>
        <button class="icon" onClick={onHelp} title="Keyboard (?)"><Icon name="help" /></button>
      </div>
    </header>
  );
}

function RangePicker() {
  const here = useHere();
  const { range, fixed } = here.window;
  return (
    <div class="range">
      {fixed ? (
        <span class="fixed" title="This window stands still: the address shows the same to everyone">
          {span(fixed.from_s, fixed.to_s)}
        </span>
      ) : (
        <div class="segments" role="group" aria-label="Time window">
          {Object.keys(RANGES).map((each) => (
            <button key={each} aria-pressed={each === range} onClick={() => here.change({ range: each }, true)}>
              {each}
            </button>
          ))}
        </div>
      )}
      <button class={`live ${fixed ? "" : "on"}`} onClick={() => toggleLive(here)} title={fixed ? "Go live (p)" : "Pause (p)"}>
        <Icon name={fixed ? "play" : "pause"} />
        {fixed ? "Paused" : "Live"}
      </button>
    </div>
  );
}

function span(from_s: number, to_s: number): string {
  const [from, to] = [from_s, to_s].map((each) => new Date(each * 1000).toISOString()) as [string, string];
  const ending = day(from) === day(to) ? clock(to, false) : `${day(to)} ${clock(to, false)}`;
  const today = day(new Date().toISOString());
  return `${day(from) === today ? "" : `${day(from)} `}${clock(from, false)} – ${ending}`;
}

function StatusDot() {
  const [open, setOpen] = useState(false);
  const { data, error } = useAnswer<Status>("status", () => address("/status"), STATUS_MS);
  const state = error ? "bad" : !data ? "unknown" : data.ready ? "good" : "warn";
  const words = { bad: "No answer from the server", unknown: "Asking the server", good: "Ready", warn: "Not ready" }[state];
  return (
    <div class="status">
      <button class="status-button" onClick={() => setOpen(!open)} aria-expanded={open} title={words}>
        <i class={`dot ${state}`} />
        <span>{data?.version ? `v${data.version}` : "…"}</span>
      </button>
      {open && (
        <div class="popover" onClick={() => setOpen(false)}>
          <h3>{words}</h3>
          {error && <p>{error.what}</p>}
          {data && <StatusDetail status={data} />}
        </div>
      )}
    </div>
  );
}

function StatusDetail({ status }: { status: Status }) {
  const { ingest, disk } = status;
  return (
    <>
      <ul class="parts">
        {status.parts.map((part) => (
          <li key={part.name}>
            <b>{part.name}</b> <span>{part.state}</span> <small>{part.detail}</small>
          </li>
        ))}
      </ul>
      <dl>
        <dt>Up</dt><dd>{uptime(status.uptime_s)}</dd>
        <dt>Spans</dt><dd>{count(ingest.spans)}</dd>
        <dt>Logs</dt><dd>{count(ingest.logs)}</dd>
        <dt>Samples</dt><dd>{count(ingest.samples)}</dd>
        <dt>Rejected</dt><dd class={ingest.rejected ? "bad" : ""}>{count(ingest.rejected)}</dd>
        <dt>Disk</dt><dd>{bytes(disk.used_bytes)} used, {bytes(disk.free_bytes)} free</dd>
      </dl>
    </>
  );
}

function uptime(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

function ThemeSwitch() {
  const toggle = (): void => {
    const { dataset } = document.documentElement;
    const dark = dataset["theme"] === "dark" || (dataset["theme"] !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    dataset["theme"] = dark ? "light" : "dark";
    localStorage.setItem("gnomon.theme", dataset["theme"]);
  };
  return <button class="icon" onClick={toggle} title="Dark or light"><Icon name="theme" /></button>;
}
