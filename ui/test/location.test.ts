import { describe, expect, it } from "vitest";
import { bounds, link, parsePlace, parseWindow, withParams } from "../src/model/location";
import { grid, stepFor, ticks } from "../src/model/series";

const params = (text: string): URLSearchParams => new URLSearchParams(text);

describe("the address", () => {
  it.each([
    ["/", "services", ""], ["/services/", "services", ""], ["/services/a%2Fb", "services", "a/b"], ["/traces/00ff", "traces", "00ff"], ["/logs", "logs", ""], ["/sql", "sql", ""],
  ])("%s is a page", (path, page, id) => expect(parsePlace(path, "")).toMatchObject({ page, id }));

  it.each(["/nothing", "/logs/1", "/traces/a/b", "/services/%E0%A4%A"])("%s is none", (path) => expect(parsePlace(path, "")).toBeNull());

  it("comes back from a link as it went in, whatever the name", () => {
    for (const name of ["a/b", "ü ☂", "100%", "?q=1&x", "#"]) {
      const url = new URL(link("services", name, params("range=1h&q=gone")), "http://host");
      expect(parsePlace(url.pathname, url.search)?.id).toBe(name);
      expect(url.searchParams.get("q")).toBeNull();
    }
  });

  it("carries the time window along, and adds what is asked", () => {
    expect(link("traces", "", params("from=1&to=2&q=x"), { service: "a b" })).toBe("/traces?from=1&to=2&service=a+b");
  });

  it("says no defaults and no empty words", () => {
    expect(withParams(params("q=x&range=1h"), { q: "", range: "15m", service: null }).toString()).toBe("");
  });

  it("reads a window, and takes the default for nonsense", () => {
    expect(parseWindow(params("range=6h"))).toEqual({ range: "6h", fixed: null });
    expect(parseWindow(params("range=toString&from=9&to=3"))).toEqual({ range: "15m", fixed: null });
    expect(parseWindow(params("from=1&to=1e300")).fixed).toBeNull();
    expect(parseWindow(params("from=3&to=9.5")).fixed).toEqual({ from_s: 3, to_s: 9.5 });
  });

  it("ends a live window now", () => {
    expect(bounds({ range: "5m", fixed: null }, 1_000_000)).toEqual({ from_s: 700, to_s: 1000 });
  });
});

describe("the grid of a chart", () => {
  const point = (time: string, spans: number, errors = 0) => ({ time, spans, errors, p50_ns: 1, p95_ns: 2, p99_ns: 3 });

  it("has whole steps only, zero calls and no duration where there is no point", () => {
    const even = grid({ step_s: 10, points: [point("1970-01-01T00:00:10Z", 20, 5), point("1970-01-01T00:00:30Z", 10)] }, 5, 45);
    expect(even).toMatchObject({ time_s: [10, 20, 30], rate: [2, 0, 1], errorRate: [0.5, 0, 0], errorRatio: [0.25, 0, 0], p50: [1, null, 1] });
  });

  it("has some sixty steps for every window", () => {
    expect([300, 900, 3600, 21600, 86400].map((each) => each / stepFor(each))).toEqual([60, 60, 60, 72, 48]);
  });

  it.each([[65e6, [0, 2e7, 4e7, 6e7, 8e7]], [0, [0, 1]], [1, [0, 0.5, 1]], [0.3, [0, 0.1, 0.2, 0.3]]])("%d is marked %j", (top, marks) => {
    expect(ticks(top).map((each) => Number(each.toPrecision(6)))).toEqual(marks);
  });
});
