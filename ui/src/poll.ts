/** Live answers without flicker: what was there stays until something else arrives. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal, ask, parseJson } from "./api";

export const POLL_MS = 2000;

export interface Answer<T> {
  data: T | null;
  error: Refusal | null;
  /** Nothing has arrived yet for what is asked now; `data` may still be of the question before. */
  loading: boolean;
}

/**
 * Asks `request(now)` when `key` changes and then every `everyMs` (null: once), not while the tab is hidden.
 * `request` may give another address each time (a window that moves); `key` names the question. An empty key asks nothing.
 */
export function useAnswer<T>(key: string, request: (nowMs: number) => string, everyMs: number | null): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ data: null, error: null, loading: true });
  const latest = useRef(request);
  latest.current = request;
  const [generation, setGeneration] = useState(0);
  useEffect(() => onSession(() => setGeneration((each) => each + 1)), []);

  useEffect(() => {
    if (!key) return undefined;
    const abort = new AbortController();
    let timer = 0;
    let running = false;
    let seen = "";
    const run = async (): Promise<void> => {
      if (running || document.hidden) return;
      running = true;
      window.clearTimeout(timer);
      let pause = everyMs;
      try {
        const body = await ask(latest.current(Date.now()), { signal: abort.signal });
        if (body !== seen) setAnswer({ data: parseJson<T>(body), error: null, loading: false });
        seen = body;
      } catch (error) {
        if (abort.signal.aborted) return;
        seen = "";
        pause = everyMs && everyMs * 2;
        setAnswer((before) => ({ ...before, error: asRefusal(error), loading: false }));
      }
      running = false;
      if (pause !== null && !abort.signal.aborted) timer = window.setTimeout(() => void run(), pause);
    };
    setAnswer((before) => (before.loading ? before : { ...before, loading: true }));
    const woken = (): void => void ((everyMs !== null || !seen) && run());
    document.addEventListener("visibilitychange", woken);
    void run();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", woken);
    };
  }, [key, everyMs, generation]);
  return answer;
}

function onSession(listener: () => void): () => void {
  window.addEventListener("gnomon:session", listener);
  return () => window.removeEventListener("gnomon:session", listener);
}

function asRefusal(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Refusal(0, "unreadable_answer", String(error));
}
