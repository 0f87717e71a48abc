import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@plait/sdk": new URL("./sdk/src/index.ts", import.meta.url).pathname } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  test: {
    include: ["sdk/tests/**/*.test.ts", "app/tests/**/*.test.{ts,tsx}"],
    reporters: ["dot"],
    passWithNoTests: false,
    testTimeout: 15_000,
  },
});
