/** The keyboard: one listener, one table. */
import { useEffect, useRef } from "preact/hooks";
import { type Here, go, toggleLive } from "./here";
import { type PageName, link } from "./model/location";

/** What the help shows is what is bound. */
export const KEYS: readonly [keys: string, does: string][] = [
  ["/", "search"],
  ["g s", "services"],
  ["g t", "traces"],
  ["g l", "logs"],
  ["g q", "SQL"],
  ["p", "pause, or go live again"],
  ["↑ ↓", "in a waterfall: previous, next span"],
  ["← →", "in a waterfall: collapse, expand"],
  ["Ctrl Enter", "in SQL: run"],
  ["?", "this help"],
  ["Esc", "close, leave a field"],
];

const GO: Readonly<Record<string, PageName>> = { s: "services", t: "traces", l: "logs", q: "sql" };
const CHORD_MS = 1200; // long enough for two fingers, too short to surprise who pressed `g` and went away

export function useKeys(here: Here, act: { help: () => void; escape: () => unknown }): void {
  const latest = useRef({ here, act });
  latest.current = { here, act };
  useEffect(() => {
    let goUntil = 0;
    const pressed = (event: KeyboardEvent): void => {
      const { here, act } = latest.current;
      const target = event.target as HTMLElement;
      if (event.key === "Escape") {
        if (isField(target)) target.blur();
        act.escape();
        return;
      }
      if (isField(target) || event.ctrlKey || event.metaKey || event.altKey) return;
      const page = event.timeStamp < goUntil ? GO[event.key] : undefined;
      goUntil = event.key === "g" ? event.timeStamp + CHORD_MS : 0;
      if (page) go(link(page, "", here.params));
      else if (event.key === "?") act.help();
      else if (event.key === "p") toggleLive(here);
      else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus();
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}

function isField(target: HTMLElement): boolean {
  return /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
