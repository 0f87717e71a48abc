import type { Home, Pairing, Thing } from "@plait/sdk";
import { ArrowRight, Link2, Unlink } from "lucide";
import { useId, useState } from "preact/hooks";
import { formatDuration, formatTime } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { live } from "../state/home.ts";
import { letUse, takeBack, usePairings } from "../state/pairs.ts";
import { linkTo } from "../state/route.ts";
import { Icon } from "../ui/icon.tsx";

const AWAY = "The hub is away: it is the one that says who may use what.";

/** Which things may use this one, and which it may use, the hub being there or not; open where there are any. */
export function Pairs({ home, thing }: { home: Home; thing: Thing }) {
  const all = usePairings(home).value;
  const others = signalOf(home.things).value.filter(({ id }) => id !== thing.id);
  if (all === undefined || (others.length === 0 && all.length === 0)) {
    return null;
  }
  const ours = all.filter((one) => one.with === thing.id || one.thingID === thing.id);
  return (
    <details class="card description pairs" open={ours.length > 0} data-testid="pairs">
      <summary>
        <h2>Pairs</h2>
        <span class="muted">{ours.length === 0 ? "none" : "also without the hub"}</span>
      </summary>
      {ours.length > 0 && (
        <ul class="pair-list">
          {ours.map((pairing) => (
            <Row key={pairing.id} home={home} pairing={pairing} />
          ))}
        </ul>
      )}
      <Add
        home={home}
        thing={thing}
        others={others.filter(({ id }) => !ours.some((one) => one.with === id))}
      />
      {!live.value && <p class="reason">{AWAY}</p>}
    </details>
  );
}

function Row({ home, pairing }: { home: Home; pairing: Pairing }) {
  const { with: caller, thingID, verbs, names, until, lease, waiting = [] } = pairing;
  const things = signalOf(home.things).value;
  const title = (id: string): string => things.find((one) => one.id === id)?.title ?? id;
  const words = [
    verbs.includes("control") ? "" : "reads and listens",
    names ? `only ${names.join(", ")}` : "",
    until ? `until ${formatTime(new Date(until))}` : "until taken back",
    `${formatDuration(lease)} without the hub`,
    waiting.length > 0 ? `begins when ${waiting.map(title).join(" and ")} is there` : "",
  ].filter((each) => each !== "");
  return (
    <li class="pair" data-testid="pair" data-caller={caller} data-used={thingID}>
      <span class="pair-names">
        <a href={linkTo(caller)}>{title(caller)}</a>
        <Icon node={ArrowRight} size={14} />
        <span class="visually-hidden">may use</span>
        <a href={linkTo(thingID)}>{title(thingID)}</a>
      </span>
      <button
        type="button"
        class="quiet"
        aria-label={`Take back that ${title(caller)} may use ${title(thingID)}`}
        title={live.value ? "Take back" : AWAY}
        disabled={!live.value}
        onClick={() => takeBack(home, caller, thingID)}
      >
        <Icon node={Unlink} size={16} />
      </button>
      <span class="pair-words">{words.join(" · ")}</span>
    </li>
  );
}

function Add({ home, thing, others }: { home: Home; thing: Thing; others: readonly Thing[] }) {
  const id = useId();
  const [chosen, setChosen] = useState("");
  const [busy, setBusy] = useState(false);
  if (others.length === 0) {
    return null;
  }
  const caller = others.find((one) => one.id === chosen) ?? others[0];
  return (
    <form
      class="pair-add"
      onSubmit={(event) => {
        event.preventDefault();
        if (caller !== undefined && !busy) {
          setBusy(true);
          void letUse(home, caller.id, thing.id).finally(() => setBusy(false));
        }
      }}
    >
      <label for={id}>What may use {thing.title}, too?</label>
      <select
        id={id}
        value={caller?.id}
        disabled={!live.value}
        onChange={(event) => setChosen(event.currentTarget.value)}
      >
        {others.map((one) => (
          <option key={one.id} value={one.id}>
            {one.title}
          </option>
        ))}
      </select>
      <button type="submit" class="button small" aria-busy={busy} disabled={busy || !live.value}>
        <Icon node={Link2} size={15} /> Pair
      </button>
    </form>
  );
}
