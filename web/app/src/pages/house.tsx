import type { Home } from "@plait/sdk";
import { Sprout } from "lucide";
import { isCamera } from "../model/plan.ts";
import { countPresence, countReached } from "../model/presence.ts";
import { signalOf } from "../state/bridge.ts";
import { clock, live } from "../state/home.ts";
import { isReachedDirectly } from "../state/reach.ts";
import { Tile } from "../tile/tile.tsx";
import { Icon } from "../ui/icon.tsx";

/** All things at a glance. */
export function House({ home }: { home: Home }) {
  const things = signalOf(home.things).value;
  if (!signalOf(home.ready).value) {
    return <Skeleton />;
  }
  if (things.length === 0) {
    return <Empty />;
  }
  // Pictures first: they are what one comes to see.
  const sorted = [...things].sort(
    (a, b) =>
      Number(isCamera(signalOf(b.description).value)) - Number(isCamera(signalOf(a.description).value)),
  );
  const presences = things.map((thing) => signalOf(thing.presence).value);
  const reached = things.filter((thing) => isReachedDirectly(thing)).length;
  return (
    <main class="house" data-testid="house">
      <div class="page-head">
        <h1>Home</h1>
        <p class="muted" data-testid="count">
          {live.value ? countPresence(presences, clock.value) : countReached(presences.length, reached)}
        </p>
      </div>
      <div class="tiles" data-count={Math.min(things.length, 4)}>
        {sorted.map((thing) => (
          <Tile key={thing.id} thing={thing} />
        ))}
      </div>
    </main>
  );
}

function Empty() {
  return (
    <main class="empty" data-testid="empty">
      <Icon node={Sprout} size={40} />
      <h1>Nothing here yet</h1>
      <p>
        As soon as a device connects to this hub, it appears here. To try one, run <code>plait demo</code>, or
        your own with <code>plait thing FILE.py</code>.
      </p>
    </main>
  );
}

function Skeleton() {
  return (
    <main class="house" aria-busy="true" aria-label="Loading the house">
      <div class="page-head">
        <h1>Home</h1>
        <p class="muted">Connecting…</p>
      </div>
      <div class="tiles">
        <div class="tile ghost" data-kind="camera" />
        <div class="tile ghost" />
        <div class="tile ghost" />
      </div>
    </main>
  );
}
