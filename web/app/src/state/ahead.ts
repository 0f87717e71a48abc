/** The code of what has not been shown yet is fetched while the hub is there: it may be wanted when that is away. */

import type { Home } from "@plait/sdk";

/** Milliseconds after the house is shown, which goes first. */
const AFTER = 300;

export function fetchAhead(home: Home): void {
  home.whenReady().then(
    () =>
      setTimeout(() => {
        for (const load of [
          () => import("../pages/device.tsx"),
          () => import("../chart/chart.tsx"),
          () => import("../files/card.tsx"),
          () => import("../pages/doctor.tsx"),
        ]) {
          // What cannot be fetched now is when it is wanted.
          load().catch(() => {});
        }
      }, AFTER),
    () => {},
  );
}
