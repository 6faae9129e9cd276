import { describe, expect, it } from "vitest";
import { parseJson } from "../src/api";
import { Palette } from "../src/model/colour";
import { ago, bytes, count, duration, parseNs, rate, ratio, text, typeOf } from "../src/model/format";

describe("formats", () => {
  it.each([
    [0, "0"], [1, "1 ns"], [999, "999 ns"], [1000, "1 µs"], [1234, "1.23 µs"], [999_700, "1 ms"], [12_345_678, "12.3 ms"],
    [1.5e9, "1.5 s"], [59.99e9, "1 min"], [90e9, "1.5 min"], [7200e9, "2 h"], [3.6e15, "1000 h"], [-2000, "-2 µs"],
  ])("%d ns as %s", (ns, shown) => expect(duration(ns)).toBe(shown));

  it("shows a duration nobody measured as a dash", () => {
    expect([duration(null), duration(undefined), duration(NaN)]).toEqual(["–", "–", "–"]);
  });

  it.each([[0, "0"], [999, "999"], [1000, "1 k"], [12_345, "12.3 k"], [999_600, "1 M"], [2.5e9, "2.5 G"]])("%d as %s", (value, shown) =>
    expect(count(value)).toBe(shown));

  it("never rounds something to nothing", () => {
    expect([rate(0), rate(0.001), ratio(0), ratio(1e-7)]).toEqual(["0", "<0.01", "0 %", "<0.01 %"]);
  });

  it.each([[0, "0 B"], [1023, "1 KiB"], [1536, "1.5 KiB"], [3.2e9, "2.98 GiB"]])("%d bytes as %s", (value, shown) => expect(bytes(value)).toBe(shown));

  it("reads times to the nanosecond, and refuses what is none", () => {
    expect(parseNs("2026-11-21T09:21:35.123456789Z")! - parseNs("2026-11-21T09:21:35Z")!).toBe(123_456_789n);
    expect(parseNs("1970-01-01T00:00:00.5Z")).toBe(500_000_000n);
    expect(["", "yesterday", "2026-11-21T09:21:35", "2026-13-41T09:21:35Z"].map(parseNs)).toEqual([null, null, null, null]);
  });

  it("says how long ago, and takes a future second for now", () => {
    const now = Date.parse("2026-11-21T10:00:00Z");
    expect(["10:00:02", "09:59:20", "09:58:01", "07:30:00"].map((each) => ago(`2026-11-21T${each}Z`, now))).toEqual(["now", "40 s ago", "1 min ago", "2 h ago"]);
    expect(ago("", now)).toBe("–");
  });

  it("names the types of attributes", () => {
    expect(["a", 1, 1.5, 2n, true, [1], { a: 1 }, null].map(typeOf)).toEqual(["string", "int", "double", "int", "bool", "array", "map", "empty"]);
  });

  it("keeps 64-bit integers whole from the wire to the page, where the platform lets us", () => {
    const value = parseJson<{ big: bigint | number; id: string }>('{"big": 9223372036854775807, "id": "1234567890123456789"}');
    expect(value.id).toBe("1234567890123456789");
    const hasSource = typeof value.big === "bigint"; // JSON.parse source text access: Node 21, Chromium 114
    expect(text([value.big])).toBe(hasSource ? "[9223372036854775807]" : "[9223372036854776000]");
  });

  it("gives twelve services twelve colours, and each its own again", () => {
    const palette = new Palette();
    const names = Array.from({ length: 12 }, (_each, i) => `service-${i}`);
    expect(new Set(names.map((each) => palette.of(each))).size).toBe(12);
    expect(palette.of("one more")).toBeLessThan(12);
    expect(palette.of("service-3")).toBe(palette.of("service-3"));
  });
});
