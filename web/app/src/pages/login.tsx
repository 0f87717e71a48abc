import { Check, Copy, KeyRound } from "lucide";
import { useState } from "preact/hooks";
import logo from "../styles/plait.svg";
import { Icon } from "../ui/icon.tsx";

const COMMAND = "plait hub login";

/** How to get in: there is no password, only a link that the hub prints. */
export function Login({ problem }: { problem: string | undefined }) {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    // Without the clipboard (plain http on another machine) the command can still be read.
    navigator.clipboard?.writeText(COMMAND).then(
      () => setCopied(true),
      () => {},
    );
  };
  return (
    <main class="login" data-testid="login">
      <section class="login-card">
        <img src={logo} alt="" width="52" height="52" />
        <h1>Welcome to Plait</h1>
        {problem !== undefined && (
          <p class="login-problem" role="alert">
            {problem}
          </p>
        )}
        <p>
          There is no password here. A link logs this browser in, once. To get a new one, run this on the
          machine of the hub:
        </p>
        <div class="command">
          <Icon node={KeyRound} size={18} />
          <code>{COMMAND}</code>
          <button type="button" class="quiet" aria-label="Copy the command" onClick={copy}>
            <Icon node={copied ? Check : Copy} size={18} />
          </button>
        </div>
        <p class="muted">It prints a link. Open it in this browser.</p>
      </section>
    </main>
  );
}
