import { WifiOff } from "lucide";
import { signalOf } from "../state/bridge.ts";
import { clock, view } from "../state/home.ts";
import { Icon } from "./icon.tsx";

/** A break shorter than this is not worth a word, in ms. */
const PATIENCE = 700;

/** Tells that the hub is away, since everything on the page may be old then. */
export function Banner() {
  if (view.value.kind !== "home") {
    return null;
  }
  const { home } = view.value;
  const status = signalOf(home.status).value;
  if (status.state === "online" || clock.value - status.since < PATIENCE) {
    return null;
  }
  if (status.error?.code === "unsupported-version") {
    return <OtherVersion older={status.error.field !== "/output/protocol"} />;
  }
  const seconds = Math.max(1, Math.round((clock.value - status.since) / 1000));
  const known = signalOf(home.ready).value;
  return (
    <div class="banner" role="status" data-testid="banner" data-state={status.state}>
      <Icon node={WifiOff} size={18} />
      <p>
        <strong>{status.state === "stopped" ? "Not connected." : "Reconnecting to the hub…"}</strong>{" "}
        <span aria-hidden="true">
          {known ? `What you see is ${seconds} s old.` : "It does not answer yet."}
        </span>
      </p>
      {status.state !== "stopped" && (
        <button type="button" class="button small" onClick={() => home.reconnect()}>
          Try now
        </button>
      )}
    </div>
  );
}

/** The hub and this page have no version of the protocol in common: the hub has the page that fits. */
function OtherVersion({ older }: { older: boolean }) {
  return (
    <div class="banner" role="alert" data-testid="banner" data-state="version">
      <Icon node={WifiOff} size={18} />
      <p>
        <strong>This page is {older ? "older" : "newer"} than the hub.</strong> Reload it to go on.
      </p>
      <button type="button" class="button small" onClick={() => location.reload()}>
        Reload
      </button>
    </div>
  );
}
