// Chromium by the W3C WebDriver protocol: a few JSON requests to chromedriver, and no library.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1"];

/** A browser of `width` by `height` CSS pixels; a phone's width too, which a plain window would not take. */
export async function open(width, height, { dark = true } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "gnomon-picture-"));
  const driver = spawn("chromedriver", ["--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await new Promise((resolve, reject) => {
    driver.on("error", reject);
    driver.stdout.on("data", (text) => {
      const said = /successfully on port (\d+)/.exec(String(text));
      if (said) resolve(said[1]);
    });
  });
  const call = async (path, body, method = "POST") => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(value.message);
    return value;
  };
  const { sessionId } = await call("/session", { capabilities: { alwaysMatch: { browserName: "chrome", "goog:loggingPrefs": { browser: "ALL" }, "goog:chromeOptions": { args: [...FLAGS, `--user-data-dir=${profile}`] } } } });
  const at = `/session/${sessionId}`;
  const devtools = (cmd, params) => call(`${at}/goog/cdp/execute`, { cmd, params });
  await devtools("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  await devtools("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  return {
    go: (url) => call(`${at}/url`, { url }),
    run: (script) => call(`${at}/execute/sync`, { script, args: [] }),
    screenshot: async () => Buffer.from(await call(`${at}/screenshot`, undefined, "GET"), "base64"),
    log: () => call(`${at}/se/log`, { type: "browser" }),
    close: async () => {
      await call(at, undefined, "DELETE");
      driver.kill();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}
