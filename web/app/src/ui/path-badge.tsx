import type { Path, Thing } from "@plait/sdk";
import { type IconNode, Route, Server, Zap } from "lucide";
import { formatRtt } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { live, view } from "../state/home.ts";
import { linkedOf } from "../state/paths.ts";
import { Icon } from "./icon.tsx";

const KINDS: Readonly<Record<Path["kind"], readonly [words: string, icon: IconNode]>> = {
  direct: ["direct", Zap],
  relayed: ["relayed", Route],
  hub: ["through the hub", Server],
};

/**
 * The path in use and its round trip: "direct · 3 ms", or "directly, without the hub · 3 ms" where that is away. Why it is that
 * one is the tooltip, and is read aloud.
 */
export function PathBadge({ path }: { path: Path | undefined }) {
  if (path === undefined) {
    return (
      <span class="path" data-testid="path" data-kind="none">
        no path
      </span>
    );
  }
  const [words, icon] = KINDS[path.kind];
  const alone = !live.value && path.kind !== "hub";
  return (
    <span
      class="path"
      data-testid="path"
      data-kind={path.kind}
      data-alone={alone || undefined}
      title={path.why}
    >
      <Icon node={icon} size={13} />
      {alone ? `${words}, without the hub` : words}
      <span class="path-rtt">
        <span class="sep" aria-hidden="true">
          ·
        </span>
        <span class="visually-hidden">, round trip </span>
        <span data-testid="rtt">{formatRtt(path.rttMs)}</span>
      </span>
      <span class="visually-hidden">. {path.why}</span>
    </span>
  );
}

/** The path to a thing of everything that is not a call; undefined while it cannot be reached. */
export function usePath(thing: Thing): Path | undefined {
  const { state } = signalOf(thing.presence).value;
  const { path, direct } = linkedOf(thing).value;
  if (view.value.kind !== "home") {
    return undefined;
  }
  if (path !== undefined && (path.kind === "hub" ? live.value && state !== "offline" : direct)) {
    return path;
  }
  const { home } = view.value;
  // Read as a signal, so that the badge follows it.
  signalOf(home.rtt).value;
  return live.value && state !== "offline" ? home.path() : undefined;
}

export function ThingPath({ thing }: { thing: Thing }) {
  return <PathBadge path={usePath(thing)} />;
}

/** Why it is this path, for everyone to read. */
export function PathWhy({ thing }: { thing: Thing }) {
  const path = usePath(thing);
  return path === undefined ? null : (
    <p class="muted why" data-testid="why">
      {path.why}.
    </p>
  );
}
