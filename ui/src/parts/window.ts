/** What every question about a window of time needs. */
import { useHere } from "../here";
import { bounds } from "../model/location";
import { type Answer, POLL_MS, useAnswer } from "../poll";
import { address, type Params } from "../api";
import type { Service } from "../model/types";

/** The answer to `path` for the window in the address; asked again every `everyMs` while that window is live. */
export function useWindowed<T>(path: string, params: Params, everyMs = POLL_MS): Answer<T> {
  const { window } = useHere();
  const request = (nowMs: number): string => {
    const { from_s, to_s } = bounds(window, nowMs);
    // A live window ends at the server's now, whose clock need not be the browser's.
    return address(path, { ...params, start: from_s.toFixed(3), end: window.fixed ? to_s.toFixed(3) : null });
  };
  const key = JSON.stringify([path, params, window]);
  return useAnswer<T>(key, request, window.fixed ? null : everyMs);
}

/** Names for filters to choose from; they change seldom. */
export function useServiceNames(): string[] {
  const { data } = useWindowed<{ services: Service[] }>("/services", {}, 15_000);
  return (data?.services ?? []).map((each) => each.service).sort();
}
