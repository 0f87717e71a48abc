import { CloudOff } from "lucide";
import { live } from "../state/home.ts";
import { Icon } from "./icon.tsx";

/** In place of a page whose code is being fetched; it says so where the hub, which has it, is away. */
export function Fetching({ room }: { room: "device" | "doctor" }) {
  if (live.value) {
    return <main class={room} aria-busy="true" />;
  }
  return (
    <main class="empty" data-testid="fetching">
      <Icon node={CloudOff} size={40} />
      <h1>Not here yet</h1>
      <p>This page comes from the hub, which is away. It is shown as soon as it can be fetched.</p>
      <a class="button" href="#/">
        Back to the house
      </a>
    </main>
  );
}
