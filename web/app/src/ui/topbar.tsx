import { type IconNode, Moon, Stethoscope, Sun, SunMoon } from "lucide";
import { formatRtt } from "../model/format.ts";
import { signalOf } from "../state/bridge.ts";
import { view } from "../state/home.ts";
import { type Theme, theme } from "../state/theme.ts";
import logo from "../styles/plait.svg";
import { Icon } from "./icon.tsx";

const THEMES: Readonly<Record<Theme, readonly [next: Theme, words: string, icon: IconNode]>> = {
  auto: ["light", "as the system", SunMoon],
  light: ["dark", "light", Sun],
  dark: ["auto", "dark", Moon],
};

function ThemeButton() {
  const [next, words, icon] = THEMES[theme.value];
  return (
    <button
      type="button"
      class="quiet"
      data-testid="theme"
      title={`Colours: ${words}`}
      aria-label={`Colours: ${words}. Change to ${THEMES[next][1]}`}
      onClick={() => {
        theme.value = next;
      }}
    >
      <Icon node={icon} />
    </button>
  );
}

const WORDS = {
  connecting: "Connecting",
  online: "Connected",
  reconnecting: "Reconnecting",
  stopped: "Not connected",
};

function HubState() {
  if (view.value.kind !== "home") {
    return null;
  }
  const { state } = signalOf(view.value.home.status).value;
  const rtt = signalOf(view.value.home.rtt).value;
  return (
    <span
      class="hub-state"
      data-testid="connection"
      data-state={state}
      title="The connection of this page to the hub"
    >
      <span class="dot" aria-hidden="true" />
      {WORDS[state]}
      {rtt !== undefined && <span class="muted hub-rtt">{formatRtt(rtt)}</span>}
    </span>
  );
}

export function TopBar() {
  return (
    <header class="topbar">
      <a class="brand" href="#/" aria-label="Plait, the house">
        <img src={logo} alt="" width="26" height="26" />
        <span>Plait</span>
      </a>
      <HubState />
      <a class="quiet" href="#/doctor" title="Doctor: what works, and what does not" aria-label="Doctor">
        <Icon node={Stethoscope} />
      </a>
      <ThemeButton />
    </header>
  );
}
