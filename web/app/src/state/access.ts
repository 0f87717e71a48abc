/** Getting in: the one-time link, and whether this browser has a session already. */

import { PlaitError } from "@plait/sdk";

/** Take `#login=CODE` out of the address bar, where it must not stay, and return the code. */
export function takeLoginCode(): string | undefined {
  const match = /^#login=(.+)$/.exec(location.hash);
  if (match === null) {
    return undefined;
  }
  history.replaceState(null, "", location.pathname);
  return decodeURIComponent(match[1] ?? "");
}

/** Change the code for a session cookie; throws `unauthorized` where the hub does not take it. */
export async function logIn(code: string): Promise<void> {
  const answer = await fetch("/api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
    body: JSON.stringify({ code }),
  });
  if (!answer.ok) {
    throw new PlaitError(
      "unauthorized",
      answer.status < 500
        ? "This login link was used already, or is too old."
        : `The hub could not log this browser in (${answer.status}).`,
    );
  }
}

/** Whether the hub knows this browser; true also where it cannot be reached, since that is told elsewhere. */
export async function isLoggedIn(): Promise<boolean> {
  try {
    const answer = await fetch("/api/me", { credentials: "same-origin", cache: "no-store" });
    await answer.body?.cancel();
    return answer.status !== 401 && answer.status !== 403;
  } catch {
    return true;
  }
}
