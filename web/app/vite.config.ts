import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Initial JavaScript, gzipped, may be at most this (DESIGN.md, choice 9). */
const BUDGET_KB = 150;

/** Say what the page weighs, and fail the build that grows beyond the budget. */
function budget(): Plugin {
  return {
    name: "plait:budget",
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
      const initial = new Set<string>();
      const visit = (name: string): void => {
        const chunk = byName.get(name);
        if (chunk !== undefined && !initial.has(name)) {
          initial.add(name);
          chunk.imports.forEach(visit);
        }
      };
      for (const chunk of chunks) {
        if (chunk.isEntry) {
          visit(chunk.fileName);
        }
      }
      const size = (names: Iterable<string>): number =>
        [...names].reduce((sum, name) => sum + gzipSync(byName.get(name)?.code ?? "").length, 0) / 1024;
      const now = size(initial);
      const later = size(chunks.map((chunk) => chunk.fileName).filter((name) => !initial.has(name)));
      const words = `initial JavaScript ${now.toFixed(1)} KB gzipped (budget ${BUDGET_KB}), later ${later.toFixed(1)} KB`;
      if (now > BUDGET_KB) {
        this.error(words);
      }
      process.stdout.write(`page: ${words}\n`);
    },
  };
}

/** What others wrote that goes into the page; its licences go with it. */
const SHIPPED = [
  "preact",
  "@preact/signals",
  "@preact/signals-core",
  "uplot",
  "lucide",
  "@noble/hashes",
  "@fontsource-variable/inter",
] as const;

function licences(): Plugin {
  return {
    name: "plait:licences",
    generateBundle() {
      const texts = SHIPPED.map((name) => {
        const folder = `${import.meta.dirname}/../node_modules/${name}`;
        return `${name}\n\n${readFileSync(`${folder}/LICENSE`, "utf8").trim()}\n`;
      });
      this.emitFile({
        type: "asset",
        fileName: "licenses.txt",
        source: texts.join(`\n${"-".repeat(80)}\n\n`),
      });
    },
  };
}

/** Where the hub listens while the page is developed with `npm run dev`. */
const HUB = process.env.PLAIT_HUB ?? "http://127.0.0.1:8080";

export default defineConfig({
  root: import.meta.dirname,
  resolve: { alias: { "@plait/sdk": `${import.meta.dirname}/../sdk/src/index.ts` } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [budget(), licences()],
  build: {
    outDir: process.env.PLAIT_PAGE ?? "../../src/plait/hub/page",
    emptyOutDir: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    // The page's policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/ws": { target: HUB, ws: true },
      "/api": HUB,
    },
  },
});
