import type { Path, Thing } from "@plait/sdk";
import { type IconNode, Route, Server, Zap } from "lucide";
import { formatRtt } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { live, view } from "../state/home.ts";
import { Icon } from "./icon.tsx";

const KINDS: Readonly<Record<Path["kind"], readonly [words: string, icon: IconNode]>> = {
  direct: ["direct", Zap],
  relayed: ["relayed", Route],
  hub: ["through the hub", Server],
};

/** The path in use and its round trip: "direct · 3 ms". Its reason is the tooltip. */
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
    </span>
  );
}

/** The path of everything that is not a call. */
export function HubPath({ thing }: { thing: Thing }) {
  const { state } = signalOf(thing.presence).value;
  if (view.value.kind !== "home" || !live.value || state === "offline") {
    return <PathBadge path={undefined} />;
  }
  const { home } = view.value;
  // Read as a signal, so that the badge follows it.
  signalOf(home.rtt).value;
  return <PathBadge path={home.path()} />;
}
