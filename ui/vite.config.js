import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const OUT = "../packages/gnomon-server/src/gnomon_server/web/static";

/** Beside each text file its gzip, so that the server compresses nothing. */
const compressed = {
  name: "compressed",
  apply: "build",
  closeBundle() {
    for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (/\.(js|css|html|svg)$/.test(entry.name)) writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    }
  },
};

export default {
  plugins: [compressed],
  build: { outDir: OUT, emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  // `npm run dev` shows a running server's data, or the fixture's.
  server: { proxy: { "/api": process.env.GNOMON_URL ?? "http://127.0.0.1:4319" } },
  test: { include: ["test/**/*.test.ts"] },
};
