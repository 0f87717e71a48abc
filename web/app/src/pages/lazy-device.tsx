import type { Home } from "@plait/sdk";
import { Fetching } from "../ui/fetching.tsx";
import { useLazy } from "../ui/lazy.ts";

const load = async () => (await import("./device.tsx")).DevicePage;

/** The device page, whose code is fetched when it is first wanted. */
export function Device(props: { home: Home; id: string }) {
  const DevicePage = useLazy(load);
  return DevicePage === undefined ? <Fetching room="device" /> : <DevicePage {...props} />;
}
