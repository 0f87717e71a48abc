import type { Home } from "@plait/sdk";
import { useLazy } from "../ui/lazy.ts";

const load = async () => (await import("./device.tsx")).DevicePage;

/** The device page, whose code is fetched when it is first wanted. */
export function Device(props: { home: Home; id: string }) {
  const DevicePage = useLazy(load);
  return DevicePage === undefined ? <main class="device" aria-busy="true" /> : <DevicePage {...props} />;
}
