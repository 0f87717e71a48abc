/** Pictures through the hub: how they are asked for, and when a call asks. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PlaitError } from "../src/errors.ts";
import { Pace } from "../src/pace.ts";
import { Pictures } from "../src/pictures.ts";
import { lamp, open, startHub, until } from "./helpers.ts";

interface Script {
  readonly name: string;
  readonly pictures: readonly { bytes: number; seconds: number; next: number; wait: number }[];
}

const vectors = readFileSync(new URL("../../../vectors/pace.json", import.meta.url), "utf8");

describe("the pace", () => {
  it.each((JSON.parse(vectors) as { scripts: Script[] }).scripts)("$name", ({ pictures }) => {
    const pace = new Pace();
    for (const { bytes, seconds, next, wait } of pictures) {
      pace.came(bytes, seconds);
      expect(pace.size).toBe(next);
      expect(pace.wait).toBeCloseTo(wait, 5);
    }
  });
});

describe("pictures", () => {
  async function stage(picture: () => string) {
    const hub = await startHub();
    hub.add({ ...lamp(), picture });
    const home = open(hub);
    await home.whenReady();
    const pictures = new Pictures(home, "urn:test:lamp");
    const asked = () => hub.received.filter(({ operation }) => operation === "readpicture");
    return { pictures, asked };
  }

  it("come one after another until they are stopped", async () => {
    const { pictures, asked } = await stage(() => btoa("jpeg"));
    pictures.start();
    pictures.start();
    const first = await until(pictures.last, (one) => one !== undefined);
    expect(await first?.jpeg.text()).toBe("jpeg");
    const second = await until(pictures.last, (one) => one !== undefined && one !== first);
    expect(second?.perSecond).toBeGreaterThan(0);
    expect(second?.perSecond).toBeLessThan(3.5);
    pictures.stop();
    expect(pictures.last.value).toBeUndefined();
    const before = asked().length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(asked()).toHaveLength(before);
  });

  it("are not asked for again where there are none", async () => {
    const { pictures, asked } = await stage(() => {
      throw new PlaitError("unknown-operation", "It sends no pictures");
    });
    pictures.start();
    const problem = await until(pictures.problem, (one) => one !== undefined);
    expect(problem?.message).toBe("It sends no pictures");
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(asked()).toHaveLength(1);
  });

  it("are asked for again where one could not be had", async () => {
    let times = 0;
    const { pictures } = await stage(() => {
      times += 1;
      if (times === 1) {
        throw new PlaitError("action-failed", "The camera has no picture");
      }
      return btoa("jpeg");
    });
    pictures.start();
    await until(pictures.problem, (one) => one?.code === "action-failed");
    await until(pictures.last, (one) => one !== undefined);
    expect(pictures.problem.value).toBeUndefined();
    pictures.stop();
  });
});
