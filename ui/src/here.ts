/** Where we are, and how to go elsewhere: the History API, as one context. */
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { type Place, type Window, bounds, parsePlace, parseWindow, withParams } from "./model/location";

export interface Here {
  place: Place | null;
  params: URLSearchParams;
  window: Window;
  /** Changes parameters of this address; `push` leaves a step for the back button. */
  change: (change: Record<string, string | null>, push?: boolean) => void;
}

export const HereContext = createContext<Here>(null as unknown as Here);
export const useHere = (): Here => useContext(HereContext);

export function go(url: string, push = true): void {
  if (url === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", url);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

/** Follows the address bar, and takes clicks on our own links. */
export function useLocation(): Here {
  const [address, setAddress] = useState(location.pathname + location.search);
  useEffect(() => {
    const moved = (): void => setAddress(location.pathname + location.search);
    window.addEventListener("popstate", moved);
    document.addEventListener("click", followLink);
    return () => {
      window.removeEventListener("popstate", moved);
      document.removeEventListener("click", followLink);
    };
  }, []);
  const url = new URL(address, location.origin);
  return {
    place: parsePlace(url.pathname, url.search),
    params: url.searchParams,
    window: parseWindow(url.searchParams),
    change: changeParams,
  };
}

function changeParams(change: Record<string, string | null>, push = false): void {
  const search = withParams(new URLSearchParams(location.search), change).toString();
  go(location.pathname + (search ? `?${search}` : ""), push);
}

function followLink(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const anchor = (event.target as Element).closest("a");
  // An SVG anchor's href is an object; ours all carry the attribute.
  const href = anchor?.getAttribute("href");
  if (!href?.startsWith("/") || anchor?.getAttribute("target")) return;
  event.preventDefault();
  const samePage = href.split("?")[0] === location.pathname;
  go(href);
  if (!samePage) window.scrollTo(0, 0);
}

/** Stops the clock at what is on the screen (an address that shows the same tomorrow), or lets it run again. */
export function toggleLive(here: Here): void {
  if (here.window.fixed) return here.change({ from: null, to: null });
  const { from_s, to_s } = bounds(here.window, Date.now());
  here.change({ from: from_s.toFixed(3), to: to_s.toFixed(3) });
}
