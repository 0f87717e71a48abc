import { WifiOff, Zap } from "lucide";
import { signalOf } from "../state/bridge.ts";
import { clock, view } from "../state/home.ts";
import { isReachedDirectly } from "../state/reach.ts";
import { Icon } from "./icon.tsx";

/** A break shorter than this is not worth a word, in ms. */
const PATIENCE = 700;

/** Named; the others are counted. */
const NAMED = 3;

/** "Lamp and Thermometer", "5 things". */
function inWords(titles: readonly string[]): string {
  const last = titles.at(-1) ?? "";
  return titles.length > NAMED
    ? `${titles.length} things`
    : titles.length > 1
      ? `${titles.slice(0, -1).join(", ")} and ${last}`
      : last;
}

/** "12 s", "3 min", "2 h". */
function formatAge(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 120
    ? `${seconds} s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;
}

/** Tells that the hub is away: what goes on without it, and how old the rest is. */
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
  const age = formatAge(clock.value - status.since);
  const known = signalOf(home.ready).value;
  const things = signalOf(home.things).value;
  const direct = things.filter(isReachedDirectly);
  const rest = direct.length < things.length;
  return (
    <div
      class="banner"
      role="status"
      data-testid="banner"
      data-state={status.state}
      data-direct={direct.length > 0 || undefined}
    >
      <Icon node={direct.length > 0 ? Zap : WifiOff} size={18} />
      <p>
        <strong>{status.state === "stopped" ? "Not connected." : "Reconnecting to the hub…"}</strong>{" "}
        {direct.length > 0 && (
          <span data-testid="directly">
            {rest ? inWords(direct.map(({ title }) => title)) : "Everything"}{" "}
            {rest && direct.length > 1 ? "go" : "goes"} on directly, without it.{" "}
          </span>
        )}
        <span aria-hidden="true">
          {!known
            ? "It does not answer yet."
            : direct.length === 0
              ? `What you see is ${age} old.`
              : rest
                ? `The rest is ${age} old.`
                : ""}
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
