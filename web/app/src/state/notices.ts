/** Short words to the user: toasts for what went wrong, and a polite voice for what was confirmed. */

import type { PlaitError } from "@plait/sdk";
import { signal } from "@preact/signals";

export interface Notice {
  readonly id: number;
  readonly tone: "error" | "info";
  readonly title: string;
  readonly detail?: string;
}

/** Milliseconds that a toast stays; errors stay longer, since they have to be read. */
const STAY = { error: 9000, info: 5000 } as const;
const MOST = 4;

export const notices = signal<readonly Notice[]>([]);

/** What a screen reader says next, politely. */
export const spoken = signal("");

let next = 1;

export function tell(notice: Omit<Notice, "id">): void {
  const same = notices.value.find((one) => one.title === notice.title && one.detail === notice.detail);
  if (same !== undefined) {
    dismiss(same.id);
  }
  const id = next++;
  notices.value = [...notices.value, { ...notice, id }].slice(-MOST);
  setTimeout(() => dismiss(id), STAY[notice.tone]);
}

/** Say what failed and why: the subject, what the problem means, and its detail where it adds something. */
export function tellError(subject: string, error: PlaitError): void {
  const { title, message, field } = error;
  const where = field === undefined ? "" : ` (${field.replace(/^\//, "")})`;
  const detail = message === title ? {} : { detail: message + where };
  tell({ tone: "error", title: `${subject}: ${title.charAt(0).toLowerCase()}${title.slice(1)}`, ...detail });
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function say(text: string): void {
  // The same words twice are said twice only where the region changes.
  spoken.value = spoken.value === text ? `${text}\u00a0` : text;
}
