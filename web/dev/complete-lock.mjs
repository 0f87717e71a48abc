/**
 * Fill the holes that a registry without some platforms' binaries leaves in package-lock.json: npm drops an optional
 * package that it cannot find, and `npm ci` then refuses the lock everywhere. Run by `npm run lock`.
 */

import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../package-lock.json", import.meta.url);
const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const PROCESSORS = { "arm-eabi": "arm", "arm-gnueabihf": "arm", arm64: "arm64", x64: "x64", ppc64: "ppc64" };

/** What npm would have read of the package: where it may be installed. */
function platformOf(name) {
  const rest = name.slice(name.indexOf("/") + 1).replace(/^[a-z]+-(?=[a-z0-9]+-)/, "");
  if (rest.startsWith("wasm32")) {
    return { cpu: ["wasm32"] };
  }
  const os = SYSTEMS.find((system) => rest.startsWith(`${system}-`));
  if (os === undefined) {
    throw new Error(`no platform in ${name}`);
  }
  const machine = rest.slice(os.length + 1);
  const cpu =
    Object.entries(PROCESSORS).find(([words]) => machine.startsWith(words))?.[1] ?? machine.split("-")[0];
  const libc = machine.endsWith("-musl") ? ["musl"] : machine.endsWith("-gnu") ? ["glibc"] : undefined;
  return { cpu: [cpu], ...(libc === undefined ? {} : { libc }), os: [os] };
}

const lock = JSON.parse(readFileSync(FILE, "utf8"));
const missing = {};
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const place = `node_modules/${name}`;
    if (lock.packages[place] === undefined) {
      missing[place] = { version, ...platformOf(name), dev: true, license: entry.license, optional: true };
    }
  }
}
const all = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(all);
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
