// Web vitals as the browser measures them, sent once, when the page is left or hidden. See web.dev/articles/vitals.
(() => {
  const LIMITS = { TTFB: [800, 1800], FCP: [1800, 3000], LCP: [2500, 4000], INP: [200, 500], CLS: [0.1, 0.25] };
  const values = {};
  const observe = (type, act, options) => {
    if (PerformanceObserver.supportedEntryTypes.includes(type))
      new PerformanceObserver((list) => list.getEntries().forEach(act)).observe({ type, buffered: true, ...options });
  };

  observe("navigation", (entry) => (values.TTFB = entry.responseStart));
  observe("paint", (entry) => entry.name === "first-contentful-paint" && (values.FCP = entry.startTime));
  observe("largest-contentful-paint", (entry) => (values.LCP = entry.startTime));

  // CLS: the worst burst of shifts; a burst ends after one quiet second, or after five.
  let burst = 0, first = 0, last = 0;
  observe("layout-shift", (entry) => {
    if (entry.hadRecentInput) return;
    const goesOn = entry.startTime - last < 1000 && entry.startTime - first < 5000;
    if (!goesOn) first = entry.startTime;
    burst = goesOn ? burst + entry.value : entry.value;
    last = entry.startTime;
    values.CLS = Math.max(values.CLS ?? 0, burst);
  });

  // INP: the longest interaction; of more than fifty the next longest, one further for every fifty.
  const longest = new Map();
  observe("event", (entry) => {
    if (!entry.interactionId) return;
    longest.set(entry.interactionId, Math.max(longest.get(entry.interactionId) ?? 0, entry.duration));
    const sorted = [...longest.values()].sort((one, other) => other - one);
    values.INP = sorted[Math.floor(sorted.length / 50)];
  }, { durationThreshold: 16 });

  const rating = (name, value) =>
    value <= LIMITS[name][0] ? "good" : value <= LIMITS[name][1] ? "needs-improvement" : "poor";

  let sent = false;
  addEventListener("visibilitychange", () => {
    if (sent || document.visibilityState !== "hidden") return;
    sent = true;
    const metrics = Object.entries(values).map(([name, value]) => ({ name, value, rating: rating(name, value) }));
    const device = matchMedia("(pointer: coarse)").matches ? "mobile" : "desktop";
    navigator.sendBeacon("/vitals", new Blob([JSON.stringify({ page: "home", device, metrics })], { type: "application/json" }));
  });
})();
