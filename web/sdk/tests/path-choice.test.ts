/** Which path of a link is better: as `vectors/path.json` has it, in seconds there and in milliseconds here. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { better, type PathName } from "../src/link/better.ts";

interface Vector {
  readonly what: string;
  readonly paths: readonly {
    readonly name: PathName;
    readonly open: boolean;
    readonly rtt: number | null;
    readonly loss: number;
    readonly silent: number;
    readonly good_for: number;
    readonly failures: number;
    readonly relayed: boolean;
  }[];
  readonly current: PathName | "";
  readonly choice: { readonly name: PathName | ""; readonly reason: string };
}

describe("the better path", () => {
  const file = new URL("../../../vectors/path.json", import.meta.url);
  const { choices } = JSON.parse(readFileSync(file, "utf8")) as { choices: Vector[] };

  it.each(choices)("$what", ({ paths, current, choice }) => {
    const known = paths.map(({ rtt, silent, good_for: good, ...rest }) => ({
      ...rest,
      rtt: rtt === null ? undefined : rtt * 1000,
      silent: silent * 1000,
      goodFor: good * 1000,
    }));
    expect(better(known, current || undefined)).toEqual({
      name: choice.name || undefined,
      reason: choice.reason,
    });
  });
});
