/** Files over links through a real hub to a shelf in Python: run by tests/browser/test_link_sdk.py. */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Home } from "../src/home.ts";
import { Kept, offeredFile, receiveFile, sendFile } from "../src/link/files.ts";
import { at, url } from "./cuttable.ts";
import { until } from "./helpers.ts";

const SHELF = "urn:dev:shelf";
const SIZE = 5_000_000;

/** Use a home that watches the shelf. */
const atShelf = (use: (home: Home) => Promise<void>) =>
  at((home) => {
    home.thing(SHELF).observe();
    return use(home);
  });

/** A file of bytes that do not repeat soon. */
function made(name: string, size = SIZE, seed = 1): File {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return new File([bytes], name);
}

const digest = async (file: Blob) =>
  createHash("sha256")
    .update(Buffer.from(await file.arrayBuffer()))
    .digest("hex");

const holds = (home: Home, name: string) =>
  until(
    home.thing(SHELF).values,
    ({ files }) => (files?.value as string[] | undefined)?.includes(name) ?? false,
  );

describe.skipIf(url === "")("files over a real hub", () => {
  it("go and come back whole", () =>
    atShelf(async (home) => {
      const link = await home.thing(SHELF).link();
      for (const [name, size] of [
        ["empty.bin", 0],
        ["grüße.bin", 65_537],
        ["large.bin", SIZE],
      ] as const) {
        const file = made(name, size);
        const steps: number[] = [];
        await sendFile(link, file, { progress: (done) => steps.push(done) });
        expect(steps).toEqual([...steps].sort((a, b) => a - b));
        expect(steps.at(-1)).toBe(size);
        await holds(home, name);
        const coming = receiveFile(link);
        await home.thing(SHELF).invoke("give", { name });
        const back = await coming;
        expect([back.name, back.size]).toEqual([name, size]);
        expect(await digest(back)).toBe(await digest(file));
      }
      await link.close();
    }));

  it("go on at the byte where they stopped, there and back", () =>
    atShelf(async (home) => {
      const file = made("resumed.bin", SIZE, 2);
      const first = await home.thing(SHELF).link();
      await expect(
        sendFile(first, file, { progress: (done) => done > SIZE / 2 && first.end() }),
      ).rejects.toMatchObject({ code: "link-lost" });
      const second = await home.thing(SHELF).link();
      const steps: number[] = [];
      await sendFile(second, file, { progress: (done) => steps.push(done) });
      expect(Math.min(...steps)).toBeGreaterThan(SIZE / 2 - (1 << 20));
      await holds(home, file.name);

      const kept = new Kept();
      let came = 0;
      const coming = receiveFile(second, {
        kept,
        progress: (done) => {
          came = done;
          if (done > SIZE / 2) {
            second.end();
          }
        },
      });
      await home.thing(SHELF).invoke("give", { name: file.name });
      await expect(coming).rejects.toMatchObject({ code: "link-lost" });
      const third = await home.thing(SHELF).link();
      const again: number[] = [];
      const rest = receiveFile(third, { kept, progress: (done) => again.push(done) });
      await home.thing(SHELF).invoke("give", { name: file.name });
      expect(await digest(await rest)).toBe(await digest(file));
      expect(again[0]).toBe(came);
      await third.close();
    }));

  it("are given up by either end, and the next one comes", () =>
    atShelf(async (home) => {
      const link = await home.thing(SHELF).link();
      const file = made("given-up.bin", SIZE, 3);
      const giving = new AbortController();
      const sending = sendFile(link, file, {
        signal: giving.signal,
        progress: (done) => done > 1_000_000 && giving.abort(new Error("no more")),
      });
      await expect(sending).rejects.toThrow("no more");
      await expect(sendFile(link, file, { signal: AbortSignal.abort() })).rejects.toThrow("abort");
      const other = made("other.bin", SIZE, 4);
      await sendFile(link, other);
      await holds(home, other.name);
      expect(home.thing(SHELF).values.value.files?.value).not.toContain(file.name);

      const taking = new AbortController();
      const coming = receiveFile(link, {
        signal: taking.signal,
        progress: (done) => done > 1_000_000 && taking.abort(new Error("enough")),
      });
      await home.thing(SHELF).invoke("give", { name: other.name });
      await expect(coming).rejects.toThrow("enough");
      const offered = offeredFile(link);
      await home.thing(SHELF).invoke("give", { name: other.name });
      (await offered).refuse("not this one");
      const next = receiveFile(link);
      await home.thing(SHELF).invoke("give", { name: other.name });
      expect(await digest(await next)).toBe(await digest(other));
      await link.close();
    }));

  it("are refused with the cause", () =>
    atShelf(async (home) => {
      const link = await home.thing(SHELF).link();
      await expect(sendFile(link, made("../up", 10))).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringContaining("no name for a file"),
      });
      const changing = made("changing.bin", 300_000, 5);
      const honest = changing.slice.bind(changing);
      let reads = 0;
      changing.slice = (...given) => {
        reads += 1;
        return reads > 1 ? new Blob([new Uint8Array(Number(given[1]) - Number(given[0]))]) : honest(...given);
      };
      await expect(sendFile(link, changing)).rejects.toMatchObject({ code: "file-damaged" });
      await sendFile(link, made("small.bin", 1_000, 6));
      await holds(home, "small.bin");
      const coming = receiveFile(link, { limit: 999 });
      await home.thing(SHELF).invoke("give", { name: "small.bin" });
      await expect(coming).rejects.toMatchObject({
        code: "forbidden",
        message: expect.stringContaining("999"),
      });
      await expect(home.thing(SHELF).invoke("give", { name: "nothing" })).rejects.toMatchObject({
        message: expect.stringContaining("nothing"),
      });
      await link.close();
    }));
});
