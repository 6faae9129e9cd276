/** The one door to the server: adds token and tenant, reads its answers, and turns refusals into `Refusal`. */
import type { Value } from "./model/types";

const PREFIX = "/api/gnomon/v1";

/** The server's error letter: what, where, hint, with the reason's name and the HTTP status (0: no answer at all). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly what: string,
    readonly where = "",
    readonly hint = "",
  ) {
    super(what);
  }
}

/** Token and tenant live as long as the tab, and go nowhere but into the headers of our own requests. */
export const session = {
  get token(): string {
    return sessionStorage.getItem("gnomon.token") ?? "";
  },
  get tenant(): string {
    return sessionStorage.getItem("gnomon.tenant") ?? "";
  },
  change(token: string, tenant: string): void {
    sessionStorage.setItem("gnomon.token", token.trim());
    sessionStorage.setItem("gnomon.tenant", tenant.trim());
    window.dispatchEvent(new Event("gnomon:session"));
  },
};

export type Params = Record<string, string | number | null | undefined>;

/** `path` under the native API with its query; empty parameters are left out. */
export function address(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const query = search.toString();
  return PREFIX + path + (query ? `?${query}` : "");
}

/** The answer's text, not yet parsed: a poll that brings the same bytes again need not do anything. */
export async function ask(url: string, init: { signal?: AbortSignal; body?: unknown } = {}): Promise<string> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (session.token) headers["authorization"] = `Bearer ${session.token}`;
  if (session.tenant) headers["x-scope-orgid"] = session.tenant;
  const request: RequestInit = { headers, signal: init.signal ?? null };
  if (init.body !== undefined) {
    headers["content-type"] = "application/json";
    request.method = "POST";
    request.body = JSON.stringify(init.body);
  }
  let response: Response;
  try {
    response = await fetch(url, request);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refusal(0, "no_answer", "The server does not answer.", location.origin, "Is `gnomon up` running? Trying again by itself.");
  }
  const body = await response.text();
  if (response.ok) return body;
  if (response.status === 401) window.dispatchEvent(new Event("gnomon:unauthenticated"));
  throw refusal(response.status, body, url);
}

function refusal(status: number, body: string, url: string): Refusal {
  try {
    const { error } = JSON.parse(body) as { error: { code: string; what: string; where?: string; hint?: string } };
    return new Refusal(status, error.code, error.what, error.where, error.hint);
  } catch {
    return new Refusal(status, `http_${status}`, body.slice(0, 300) || `The server answered ${status}.`, url);
  }
}

/** JSON with 64-bit integers kept whole (as bigint), where the browser can give us their text. */
export function parseJson<T>(body: string): T {
  if (!/[:,[\s]-?\d{16,}\s*[,}\]]/.test(body)) return JSON.parse(body) as T;
  const whole = (_key: string, value: Value, context?: { source?: string }): Value =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context!.source!)
      : value;
  return JSON.parse(body, whole as (key: string, value: unknown) => unknown) as T;
}
