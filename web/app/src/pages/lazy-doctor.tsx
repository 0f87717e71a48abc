import type { Home } from "@plait/sdk";
import { Fetching } from "../ui/fetching.tsx";
import { useLazy } from "../ui/lazy.ts";

const load = async () => (await import("./doctor.tsx")).DoctorPage;

/** The doctor's page, whose code is fetched when it is first wanted. */
export function Doctor(props: { home: Home }) {
  const DoctorPage = useLazy(load);
  return DoctorPage === undefined ? <Fetching room="doctor" /> : <DoctorPage {...props} />;
}
