import type { Path, Thing } from "@plait/sdk";
import { type IconNode, Route, Server, Zap } from "lucide";
import { formatRtt } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { live, view } from "../state/home.ts";
import { linkPathOf } from "../state/paths.ts";
import { Icon } from "./icon.tsx";

const KINDS: Readonly<Record<Path["kind"], readonly [words: string, icon: IconNode]>> = {
  direct: ["direct", Zap],
  relayed: ["relayed", Route],
  hub: ["through the hub", Server],
};

/** The path in use and its round trip: "direct · 3 ms". Why it is that one is the tooltip, and is read aloud. */
export function PathBadge({ path }: { path: Path | undefined }) {
  if (path === undefined) {
    return (
      <span class="path" data-testid="path" data-kind="none">
        no path
      </span>
    );
  }
  const [words, icon] = KINDS[path.kind];
  return (
    <span class="path" data-testid="path" data-kind={path.kind} title={path.why}>
      <Icon node={icon} size={13} />
      {words}
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

/** The path to a thing of everything that is not a call; undefined while it is away. */
export function usePath(thing: Thing): Path | undefined {
  const { state } = signalOf(thing.presence).value;
  const linked = linkPathOf(thing).value;
  if (view.value.kind !== "home" || state === "offline") {
    return undefined;
  }
  if (linked !== undefined) {
    return linked;
  }
  const { home } = view.value;
  // Read as a signal, so that the badge follows it.
  signalOf(home.rtt).value;
  return live.value ? home.path() : undefined;
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
