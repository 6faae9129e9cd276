// A picture of a running console: `node dev/screenshot.mjs [--url http://127.0.0.1:4319/] [--out ../docs/picture.png]
// [--width 1400] [--height 860] [--light] [--run 'javascript to prepare the page'] [--wait 1500]`. Needs chromium and chromedriver.
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { open } from "./webdriver.mjs";

const { values } = parseArgs({ options: {
  url: { type: "string", default: "http://127.0.0.1:4319/" },
  out: { type: "string", default: "../docs/picture.png" },
  width: { type: "string", default: "1400" },
  height: { type: "string", default: "860" },
  light: { type: "boolean", default: false },
  run: { type: "string", default: "" },
  wait: { type: "string", default: "1500" },
} });

const browser = await open(Number(values.width), Number(values.height), { dark: !values.light });
try {
  await browser.go(values.url);
  await sleep(Number(values.wait));
  if (values.run) {
    const answer = await browser.run(values.run);
    if (answer !== null) console.log(answer);
    await sleep(700);
  }
  await writeFile(values.out, await browser.screenshot());
  for (const { level, message } of await browser.log()) console.error(level, message);
} finally {
  await browser.close();
}
