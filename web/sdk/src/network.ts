/** The browser's word that this machine has come to another network, as far as it gives one. */

import type { Unsubscribe } from "./watched.ts";

/** Call `listener` after each change; elsewhere than in a browser nothing is told. */
export function onNetworkChange(listener: () => void): Unsubscribe {
  const scope = globalThis as Partial<Pick<typeof globalThis, "addEventListener" | "removeEventListener">>;
  // https://wicg.github.io/netinfo: Chromium's alone.
  const { connection } = (globalThis.navigator ?? {}) as { connection?: EventTarget };
  scope.addEventListener?.("online", listener);
  connection?.addEventListener("change", listener);
  return () => {
    scope.removeEventListener?.("online", listener);
    connection?.removeEventListener("change", listener);
  };
}
